"""Jobs: create, list, show, run, prune, heal, delete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actions.door import Identity, action
from blocks.addresses import open_channel
from core.errors import DBackupError
from core.events import Event
from core.jobs import Address, JobSpec
from core.permissions import Permission
from core.reports import BackupReport, Delivery, HealReport
from services import freshness, notifications
from services.freshness import Freshness

if TYPE_CHECKING:
    from deployments.jobs import Jobs, UnreadableJob


@action(Permission.JOBS_WRITE)
def create(who: Identity, spec: JobSpec) -> None:
    """Save a job. Raises ConfigurationError for a name that is taken, or for what is not saved."""
    from deployments import jobs

    jobs.create(spec)


@action(Permission.JOBS_READ)
def everything(who: Identity) -> Jobs:
    """Every job, by name; also those that cannot be read, with the reason."""
    from deployments import jobs

    return jobs.everything()


@action(Permission.JOBS_READ)
def get(who: Identity, name: str) -> JobSpec:
    """One job. Raises ConfigurationError when there is none of this name."""
    from deployments import jobs

    return jobs.get(name)


@action(Permission.JOBS_EXECUTE)
def run(who: Identity, name: str) -> BackupReport:
    """Run a job now, in this process. Raises RunFailed with the report unless it is a success."""
    from deployments import jobs
    from flows.backup import backup

    return backup(jobs.get(name), trigger="manual")


@action(Permission.JOBS_EXECUTE)
def heal(who: Identity, name: str) -> HealReport:
    """Bring to a job's destinations what earlier runs owe them. Raises RunFailed when some of it stays owed."""
    from deployments import jobs
    from flows.heal import heal as flow

    return flow(jobs.get(name))


@action(Permission.JOBS_EXECUTE)
def check_freshness(who: Identity) -> tuple[list[tuple[Freshness, tuple[Delivery, ...]]], tuple[UnreadableJob, ...]]:
    """How old the last good backup of each job is; the channels of one that is overdue are told, and say so here.

    Of a job that cannot be read nobody knows: it comes besides, with the reason.
    """
    from deployments import jobs

    now, found = datetime.now(UTC), jobs.everything()
    checked = [(spec, freshness.of_job(spec, now)) for spec in found.readable]
    told = [(one, tuple(_told(spec, one, now)) if one.overdue else ()) for spec, one in checked]
    return told, found.unreadable


def _told(spec: JobSpec, found: Freshness, now: datetime) -> Iterator[Delivery]:
    age = found.age(now)
    message = notifications.overdue(spec.name, age.total_seconds() if age else None)
    for rule in spec.notify:
        if Event.OVERDUE not in rule.events:
            continue
        try:
            notifications.deliver(open_channel(Address(rule.channel)), message)
        except DBackupError as error:
            yield Delivery(
                channel=rule.channel, event=Event.OVERDUE, delivered=False, reason=error.message, hint=error.hint
            )
        else:
            yield Delivery(channel=rule.channel, event=Event.OVERDUE, delivered=True)


@action(Permission.JOBS_WRITE)
def delete(who: Identity, name: str) -> None:
    """Forget a job. Its backups stay."""
    from deployments import jobs

    jobs.delete(name)
