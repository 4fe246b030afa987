"""Telling people: the step itself, and what each kind of run has to tell."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, TypeVar

from blocks.addresses import open_channel, open_source
from core.errors import DBackupError
from core.events import ALARMS, Event
from core.jobs import Address, IntegritySpec, JobSpec, NotifyRule, RestoreSpec
from core.log import logger
from core.notifications import Notification
from core.ports import NotificationAdapter
from core.reports import BackupReport, HealReport, IntegrityReport, RestoreReport
from services import notifications
from tasks.step import step

R_contra = TypeVar("R_contra", contravariant=True)
log = logger(service="notification")


def opened(rule: NotifyRule) -> NotificationAdapter | None:
    """The channel of a rule, or None when it cannot be opened now; who needs it then is told why."""
    try:
        return open_channel(Address(rule.channel))
    except DBackupError:
        return None


@step("notify", "notify {rule.channel}")
def notify(rule: NotifyRule, notification: Notification, channel: NotificationAdapter | None) -> None:
    """Tell one channel, which may be open. Raises when it could not be told, also after trying again.

    A start is told once: who has missed it hears of the end.
    """
    pauses = () if notification.event is Event.STARTED else None
    notifications.deliver(channel or open_channel(Address(rule.channel)), notification, pauses=pauses)
    log.info("told", channel=rule.channel, event_kind=notification.event.value)


def wanted_events(rule: NotifyRule, channel: NotificationAdapter | None) -> Collection[Event]:
    """What a channel is to be told of: by its rule, else what its kind is for.

    One that could not be opened is told of alarms, and so found to be missing.
    """
    if rule.events is not None:
        return rule.events
    return channel.usual_events if channel else ALARMS


class Story(Protocol[R_contra]):
    """What a run has to tell: of its start, and of its report or the error that it ended with before it had one."""

    def of_start(self) -> Notification | None: ...

    def of_report(self, report: R_contra) -> Notification: ...

    def of_error(self, error: DBackupError) -> Notification: ...


class BackupStory:
    """What a backup has to tell."""

    def __init__(self, job: JobSpec) -> None:
        self._job = job

    def of_start(self) -> Notification:
        source = _source_name(self._job.source)
        return notifications.of_start(f"Backup of {self._job.name or source}", job=self._job.name, source=source)

    def of_report(self, report: BackupReport) -> Notification:
        return notifications.of_backup(report, _source_name(self._job.source))

    def of_error(self, error: DBackupError) -> Notification:
        source = _source_name(self._job.source)
        name = self._job.name or source
        return notifications.of_error(Event.FAILURE, f"Backup of {name}", error, job=self._job.name, source=source)


class HealStory:
    """What healing has to tell. Its beginning is no news: it takes no backup, and is not what a watcher waits for."""

    def __init__(self, job: JobSpec) -> None:
        self._job = job

    def of_start(self) -> None:
        return None

    def of_report(self, report: HealReport) -> Notification:
        return notifications.of_healing(report)

    def of_error(self, error: DBackupError) -> Notification:
        return notifications.of_error(Event.FAILURE, f"Healing of {self._job.name}", error, job=self._job.name)


class RestoreStory:
    """What a restore has to tell."""

    def __init__(self, wish: RestoreSpec) -> None:
        self._wish = wish

    def of_start(self) -> Notification:
        return notifications.of_start(f"Restore of {self._wish.backup}")

    def of_report(self, report: RestoreReport) -> Notification:
        return notifications.of_restore(report)

    def of_error(self, error: DBackupError) -> Notification:
        return notifications.of_error(Event.FAILURE, f"Restore of {self._wish.backup}", error)


class IntegrityStory:
    """What an integrity check has to tell. One that could not be made is no better than one that failed."""

    def __init__(self, wish: IntegritySpec) -> None:
        self._what = wish.backup or "every backup"

    def of_start(self) -> Notification:
        return notifications.of_start(f"Integrity check of {self._what}")

    def of_report(self, report: IntegrityReport) -> Notification:
        return notifications.of_integrity(report, self._what)

    def of_error(self, error: DBackupError) -> Notification:
        return notifications.of_error(Event.INTEGRITY, f"Integrity check of {self._what}", error)


def _source_name(source: Address) -> str:
    """What people call a source, without connecting to it."""
    if source.is_name:
        return str(source)
    try:
        return open_source(source).describe()
    except DBackupError:
        return source.shown
