"""Runs: take a backup, restore one, check what is stored. Prefect is imported only when one really runs."""

from __future__ import annotations

from actions.door import Identity, action, shown
from blocks.addresses import open_storage
from core.jobs import IntegritySpec, JobSpec, RestoreSpec
from core.permissions import Permission
from core.reports import BackupReport, IntegrityReport, RestoreReport
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
