"""What is told of a run, and telling it: tried again while that can help, never for ever.

A message is made of a report, or of the error that a run ended with before it had one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from core.errors import DBackupError, RateLimited
from core.events import Event
from core.log import logger
from core.notifications import Notification, Place
from core.ports import NotificationAdapter
from core.reports import BackupReport, Failure, HealReport, IntegrityReport, RestoredDatabase, RestoreReport
from core.states import RunState

PAUSES = (1.0, 5.0, 25.0)  # seconds before each further try
LONGEST_PAUSE = 60.0  # seconds: a channel that asks for more is given up
log = logger(service="notification")


def deliver(
    channel: NotificationAdapter,
    notification: Notification,
    *,
    pauses: Sequence[float] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Send a message, and again after growing pauses as long as that can help. Raises the last error.

    A channel that says how long it wants to be left alone is left alone for so long, or given up.
    """
    for seconds in PAUSES if pauses is None else pauses:
        try:
            return channel.send(notification)
        except DBackupError as error:
            wanted = error.retry_after if isinstance(error, RateLimited) else 0.0
            if error.permanent or wanted > LONGEST_PAUSE:
                raise
            log.info("message not delivered yet", channel=channel.describe(), reason=error.message)
            pause(max(seconds, wanted))
    return channel.send(notification)


# --- what is told -------------------------------------------------------------------------------------------------

_EVENTS = {RunState.SUCCESS: Event.SUCCESS, RunState.PARTIAL: Event.PARTIAL}


def of_start(subject: str, *, job: str = "", source: str = "") -> Notification:
    """That a run has begun."""
    return Notification(event=Event.STARTED, subject=subject, job=job, source=source)


def of_backup(report: BackupReport, source: str) -> Notification:
    """What a backup made, and where it is. ``source`` is what people call the source."""
    return Notification(
        event=_EVENTS.get(report.state, Event.FAILURE),
        subject=f"Backup of {report.job}",
        job=report.job,
        source=source,
        state=report.state,
        backup_id=report.backup_id,
        dump_size=report.dump_size,
        size=report.size,
        seconds=report.seconds,
        places=tuple(
            Place(copy.storage, copy.complete, copy.checked if copy.complete else "not complete")
            for copy in report.copies
        ),
        failures=report.failures,
        also_wrong=report.also_wrong,
        at=report.finished_at,
    )


def of_healing(report: HealReport) -> Notification:
    """Which copies stay owed."""
    return Notification(
        event=_EVENTS.get(report.state, Event.FAILURE),
        subject=f"Healing of {report.job}",
        job=report.job,
        state=report.state,
        seconds=report.seconds,
        places=tuple(
            Place(one.storage, one.complete, f"{one.backup_id} copied from {one.origin}")
            for one in report.healed
            if one.complete
        ),
        failures=report.failures,
        at=report.finished_at,
    )


def of_restore(report: RestoreReport) -> Notification:
    """What came back, and where it is now."""
    return Notification(
        event=Event.RESTORED if report.state.is_good else _EVENTS.get(report.state, Event.FAILURE),
        subject=f"Restore of {report.backup_id}",
        source=report.storage,
        state=report.state,
        backup_id=report.backup_id,
        seconds=report.seconds,
        places=tuple(map(_place, report.restored)),
        failures=report.failures,
        at=report.finished_at,
    )


def _place(one: RestoredDatabase) -> Place:
    return Place(one.database, True, f"{'are' if one.together else 'is'} now {one.place}")


def of_integrity(report: IntegrityReport, what: str) -> Notification:
    """What an integrity check found. ``what`` was checked."""
    return Notification(
        event=Event.SUCCESS if report.state.is_good else Event.INTEGRITY,
        subject=f"Integrity check of {what}",
        state=report.state,
        seconds=report.seconds,
        failures=report.failures,
        at=report.finished_at,
    )


def of_error(event: Event, subject: str, error: DBackupError, *, job: str = "", source: str = "") -> Notification:
    """Why a run ended before it had anything to report."""
    failure = Failure.of(source or subject, error)
    return Notification(
        event=event, subject=subject, job=job, source=source, state=RunState.FAILED, failures=(failure,)
    )


def overdue(job: str, seconds: float | None) -> Notification:
    """That there has been no good backup of a job for so many seconds."""
    return Notification(event=Event.OVERDUE, subject=f"The backup of {job}", job=job, seconds=seconds)


def recovered(job: str) -> Notification:
    """That there is a good backup of a job again."""
    return Notification(event=Event.RECOVERED, subject=f"The backup of {job}", job=job)


def trial() -> Notification:
    """What a channel is tried with."""
    return Notification(event=Event.TEST, subject="This notification channel of dbackup")
