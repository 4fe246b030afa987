"""Runs: take a backup, restore one, check what is stored; see what runs, waits and has ended, and cancel it.

Prefect is imported only when it is asked. Whoever is limited to some sources sees the runs that touch these alone: what
is restored shows two of them, and a run whose source nobody knows is theirs neither.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from actions.door import Identity, action, shown
from blocks.addresses import open_storage
from core.jobs import IntegritySpec, JobSpec, RestoreSpec
from core.permissions import Permission
from core.reports import BackupReport, IntegrityReport, RestoreReport
from core.runs import LogLine, Run, RunDetails, RunPage
from db.executions import WantedRuns
from services import stored


@action(Permission.JOBS_EXECUTE, target=lambda job: job.name or job.source.shown)
def back_up(who: Identity, job: JobSpec) -> BackupReport:
    """Take a backup now, in this process. Raises RunFailed with the report unless it is a success."""
    from flows.backup import backup

    who.require(Permission.JOBS_EXECUTE, job.source)
    return backup(job, trigger="manual")


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def restore(who: Identity, wish: RestoreSpec) -> RestoreReport:
    """Restore now, in this process. Raises RunFailed with the report unless everything came back."""
    from flows.restore import restore as flow

    who.require(Permission.BACKUPS_RESTORE, wish.target)
    who.require_of(Permission.BACKUPS_RESTORE, lambda: stored.source_of(open_storage(wish.storage), wish.backup))
    return flow(wish)


@action(Permission.BACKUPS_VERIFY, target=lambda wish: wish.backup or shown(wish.storages))
def verify(who: Identity, wish: IntegritySpec) -> IntegrityReport:
    """Check now, in this process. Raises RunFailed with the report when a backup fails."""
    from flows.integrity import integrity

    backup = wish.backup
    if backup is None or not wish.storages:
        who.require_everywhere(Permission.BACKUPS_VERIFY)
    else:
        for storage in map(open_storage, wish.storages if who.is_limited(Permission.BACKUPS_VERIFY) else ()):
            who.require(Permission.BACKUPS_VERIFY, stored.source_of(storage, backup))
    return integrity(wish)


@action(Permission.JOBS_READ)
def at_hand(who: Identity) -> tuple[Run, ...]:
    """What is at work, oldest first, then what waits, in the order in which its turn comes."""
    from deployments import runs

    mine = who.limits.get(Permission.JOBS_READ)
    return tuple(one for one in runs.at_hand() if one.is_within(mine))


@action(Permission.JOBS_READ)
def ended(who: Identity, wanted: WantedRuns, *, limit: int = 50, offset: int = 0) -> RunPage:
    """A page of the runs that have ended, newest first, and how many fit in all."""
    from deployments import runs

    mine = replace(wanted, within=who.limits.get(Permission.JOBS_READ))
    return runs.ended(mine, limit=limit, offset=offset)


@action(Permission.JOBS_READ)
def show(who: Identity, reference: str) -> RunDetails:
    """One run with its steps, by its id or the beginning of it. Raises ConfigurationError when there is none."""
    from deployments import runs

    return runs.details(_found(who, Permission.JOBS_READ, reference))


@action(Permission.JOBS_READ)
def logs(who: Identity, reference: str, since: datetime | None = None) -> tuple[LogLine, ...]:
    """The lines of a run's log from a moment on, oldest first. Raises ConfigurationError when there is no such run."""
    from deployments import runs

    return runs.logs(_found(who, Permission.JOBS_READ, reference), since)


@action(Permission.JOBS_EXECUTE)
def cancel(who: Identity, reference: str) -> Run:
    """End a run that waits or is at work, wait until nothing of it lives, and give what became of it.

    Raises ConfigurationError when it has ended already, ConnectionError when the machine that carries it out is silent.
    """
    from deployments import cancelling

    return cancelling.cancel(_found(who, Permission.JOBS_EXECUTE, reference))


def _found(who: Identity, permission: Permission, reference: str) -> Run:
    from deployments import runs

    with who.concealing(permission):
        return runs.find(reference, within=who.limits.get(permission))
