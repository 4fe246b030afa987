"""Look for jobs that have had no good backup for too long, and tell who wants to hear of it.

Nobody but this notices a job that has stopped running. A schedule of the system runs :data:`overdue`; the command
``dbackup job overdue`` looks by the same function, and tells nobody a second time.

The history is no diary of looks: one leaves a record when it finds something else than the newest recorded one, when it
tells somebody, or when it fails. So a job that is overdue for a week stands there a few times and not each hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from blocks.addresses import open_channel
from core.errors import DBackupError
from core.events import Event
from core.jobs import Address, JobSpec
from core.log import logger
from core.reports import Delivery
from core.states import RunState
from core.upkeep import OverdueReport
from db.executions import WantedRuns
from deployments import jobs
from deployments.jobs import UnreadableJob
from flows.sealed_flow import ended, sealed_flow
from services import freshness, notifications
from services.freshness import Freshness
from services.overdue import Alarm, due
from services.records import alarms, executions
from tasks.bookkeeping import complete, discard, recorded

KIND = "overdue"
LOOKED_BACK = 20  # records, of which some may be of looks that failed and found nothing out
log = logger(service="overdue")


@dataclass(frozen=True)
class Checked:
    """How old a job's last good backup is, and what became of the messages about it."""

    freshness: Freshness
    told: tuple[Delivery, ...] = ()


@dataclass(frozen=True)
class Look:
    """One look at every job. Of a job that cannot be read nobody knows; it comes with the reason."""

    checked: tuple[Checked, ...]
    unreadable: tuple[UnreadableJob, ...]


@sealed_flow("overdue")
def overdue() -> OverdueReport:
    """Look at every job once. Raises RunFailed, with the report, when somebody could not be told."""
    started_at = datetime.now(UTC)
    with recorded(KIND, "every job") as execution:
        found = look(started_at)
        _log(found)
        report = _report(found, started_at)
        if report.says_the_same_as(_last()):
            discard(execution)
        else:
            complete(execution, report)
    return ended(report)


def _log(found: Look) -> None:
    for one in found.checked:
        if one.freshness.overdue:
            log.warning("overdue", job=one.freshness.job, last_good=str(one.freshness.last_good))
    for broken in found.unreadable:
        log.warning("a job cannot be read, so nobody watches it", job=broken.name, reason=broken.problem)


def _report(found: Look, started_at: datetime) -> OverdueReport:
    told = tuple(delivery for one in found.checked for delivery in one.told)
    failed = sum(not one.delivered for one in told)
    return OverdueReport(
        state=RunState.of(succeeded=len(told) - failed, failed=failed) if failed else RunState.SUCCESS,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        overdue=tuple(sorted(one.freshness.job for one in found.checked if one.freshness.overdue)),
        unreadable=tuple(sorted(one.name for one in found.unreadable)),
        told=told,
    )


def _last() -> OverdueReport | None:
    """What the newest recorded look found."""
    reports = [one.report for one in executions().search(WantedRuns(kind=KIND), limit=LOOKED_BACK) if one.report]
    return OverdueReport.model_validate_json(reports[0]) if reports else None


def look(now: datetime) -> Look:
    """How old the last good backup of each job is; who wants to hear of it and does not know yet is told."""
    found = jobs.everything()
    alarms().keep_only(found.created.keys())
    fresh = freshness.of_jobs(found.readable, found.created, now)
    checked = tuple(_checked(spec, one, now) for spec, one in zip(found.readable, fresh, strict=True))
    return Look(checked, found.unreadable)


def _checked(spec: JobSpec, found: Freshness, now: datetime) -> Checked:
    told = alarms().of_job(spec.name)
    wanted = [rule.channel for rule in spec.notify if Event.OVERDUE in (rule.events or ())]  # usual for no channel
    for channel in told.keys() - (set(wanted) if spec.overdue_after else set()):
        alarms().over(spec.name, channel)  # nobody is to hear of it any more
    return Checked(found, tuple(_told(found, due(found, wanted, told, now), now)))


def _told(found: Freshness, messages: Iterator[Alarm], now: datetime) -> Iterator[Delivery]:
    for alarm in messages:
        try:
            _tell(found, alarm, now)
        except DBackupError as error:
            yield Delivery(
                channel=alarm.channel, event=alarm.event, delivered=False, reason=error.message, hint=error.hint
            )
        else:
            yield Delivery(channel=alarm.channel, event=alarm.event, delivered=True)


def _tell(found: Freshness, alarm: Alarm, now: datetime) -> None:
    """Tell a channel, and remember it only then: whoever could not be told is told by the next look."""
    channel = open_channel(Address(alarm.channel))
    if alarm.event is Event.RECOVERED:
        notifications.deliver(channel, notifications.recovered(found.job))
        alarms().over(found.job, alarm.channel)
        return
    age = found.age(now)
    notifications.deliver(channel, notifications.overdue(found.job, age.total_seconds() if age else None))
    alarms().told(found.job, alarm.channel, now)
