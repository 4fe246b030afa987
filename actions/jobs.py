"""Jobs: create, list, show, run, prune, heal, delete."""

from __future__ import annotations

from dataclasses import replace
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

    who.require(Permission.JOBS_WRITE, spec.source)
    jobs.create(spec)


@action(Permission.JOBS_READ)
def everything(who: Identity) -> Jobs:
    """Every job that one may see, by name; also those that cannot be read, with the reason."""
    from deployments import jobs

    found = jobs.everything()
    if not who.is_limited(Permission.JOBS_READ):
        return found
    mine = (spec for spec in found.readable if who.reaches(Permission.JOBS_READ, spec.source))
    return replace(found, readable=tuple(mine), unreadable=())


@action(Permission.JOBS_READ)
def get(who: Identity, name: str) -> JobSpec:
    """One job. Raises ConfigurationError when there is none of this name."""
    return _allowed(who, Permission.JOBS_READ, name)


@action(Permission.JOBS_EXECUTE)
def run(who: Identity, name: str) -> BackupReport:
    """Run a job now, in this process. Raises RunFailed with the report unless it is a success."""
    from flows.backup import backup

    return backup(_allowed(who, Permission.JOBS_EXECUTE, name), trigger="manual")


@action(Permission.JOBS_EXECUTE)
def heal(who: Identity, name: str) -> HealReport:
    """Bring to a job's destinations what earlier runs owe them. Raises RunFailed when some of it stays owed."""
    from flows.heal import heal as flow

    return flow(_allowed(who, Permission.JOBS_EXECUTE, name))


@action(Permission.JOBS_EXECUTE)
def check_freshness(who: Identity) -> Look:
    """How old the last good backup of each job is; who wants to hear of it and does not know yet is told."""
    from deployments.overdue import look

    who.require_everywhere(Permission.JOBS_EXECUTE)
    return look(datetime.now(UTC))


@action(Permission.JOBS_WRITE)
def delete(who: Identity, name: str) -> None:
    """Forget a job. Its backups stay."""
    from deployments import jobs

    if who.is_limited(Permission.JOBS_WRITE):  # nobody else has to be able to read it
        _allowed(who, Permission.JOBS_WRITE, name)
    jobs.delete(name)


def _allowed(who: Identity, permission: Permission, name: str) -> JobSpec:
    """A job, for whoever may do this to its source."""
    from deployments import jobs

    spec = jobs.get(name)
    who.require(permission, spec.source)
    return spec
