"""Jobs: create, list, show, run, prune, heal, delete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actions.door import Identity, action
from core.jobs import JobSpec
from core.permissions import Permission
from core.reports import BackupReport, HealReport

if TYPE_CHECKING:
    from deployments.jobs import Jobs
    from deployments.overdue import Look


@action(Permission.JOBS_WRITE, target=lambda spec: spec.name)
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
def check_freshness(who: Identity) -> Look:
    """How old the last good backup of each job is; who wants to hear of it and does not know yet is told."""
    from deployments.overdue import look

    return look(datetime.now(UTC))


@action(Permission.JOBS_WRITE)
def delete(who: Identity, name: str) -> None:
    """Forget a job. Its backups stay."""
    from deployments import jobs

    jobs.delete(name)
