"""Runs: take a backup, restore one, check what is stored. Prefect is imported only when one really runs."""

from __future__ import annotations

from actions.door import Identity, action, shown
from core.jobs import IntegritySpec, JobSpec, RestoreSpec
from core.permissions import Permission
from core.reports import BackupReport, IntegrityReport, RestoreReport


@action(Permission.JOBS_EXECUTE, target=lambda job: job.name or job.source.shown)
def back_up(who: Identity, job: JobSpec) -> BackupReport:
    """Take a backup now, in this process. Raises RunFailed with the report unless it is a success."""
    from flows.backup import backup

    return backup(job, trigger="manual")


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def restore(who: Identity, wish: RestoreSpec) -> RestoreReport:
    """Restore now, in this process. Raises RunFailed with the report unless everything came back."""
    from flows.restore import restore as flow

    return flow(wish)


@action(Permission.BACKUPS_VERIFY, target=lambda wish: wish.backup or shown(wish.storages))
def verify(who: Identity, wish: IntegritySpec) -> IntegrityReport:
    """Check now, in this process. Raises RunFailed with the report when a backup fails."""
    from flows.integrity import integrity

    return integrity(wish)
