"""Jobs: create, edit, pause, resume, list, show, run, heal, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actions.door import Identity, action
from core.jobs import JobSpec
from core.permissions import Permission
from core.reports import BackupReport, HealReport
from db.executions import Execution
from services.records import executions

if TYPE_CHECKING:
    from deployments.jobs import Jobs
    from deployments.overdue import Look
    from deployments.schedules import Timetable


@action(Permission.JOBS_WRITE, target=lambda spec, *_: spec.name)
def create(who: Identity, spec: JobSpec, cron: str = "") -> None:
    """Save a job, and when it runs by itself, in its zone.

    Raises ConfigurationError for a name that is taken, a schedule that cannot be used, or what is not saved.
    """
    from deployments import jobs

    who.require(Permission.JOBS_WRITE, spec.source)
    jobs.create(spec, cron)


@action(Permission.JOBS_WRITE, target=lambda spec, *_: spec.name)
def edit(who: Identity, spec: JobSpec, cron: str | None = None) -> None:
    """Make the job of this name what ``spec`` says. Without ``cron`` its schedule stays; an empty one takes it away."""
    from deployments import jobs

    who.require(Permission.JOBS_WRITE, spec.source)
    who.require_of(Permission.JOBS_WRITE, lambda: jobs.get(spec.name).source)  # whose it was until now
    jobs.edit(spec, cron)


@action(Permission.JOBS_WRITE, target=lambda name, copy: f"{name} as {copy}")
def clone(who: Identity, name: str, copy: str) -> None:
    """Save a job under another name as well, paused. Raises ConfigurationError for a name that is taken."""
    from deployments import jobs

    spec = _allowed(who, Permission.JOBS_WRITE, name)
    timetable = jobs.timetable_of(name)
    jobs.create(spec.model_copy(update={"name": copy}), timetable.cron if timetable else "", paused=True)


@action(Permission.JOBS_WRITE)
def pause(who: Identity, name: str) -> None:
    """Let a job not run by itself until it is resumed. Raises ConfigurationError when it has no schedule."""
    from deployments import jobs

    who.require_of(Permission.JOBS_WRITE, lambda: jobs.get(name).source)
    jobs.pause(name)


@action(Permission.JOBS_WRITE)
def resume(who: Identity, name: str) -> None:
    """Let a paused job run by itself again. Raises ConfigurationError when it has no schedule."""
    from deployments import jobs

    who.require_of(Permission.JOBS_WRITE, lambda: jobs.get(name).source)
    jobs.resume(name)


@action(Permission.JOBS_READ)
def preview(who: Identity, cron: str, timezone: str) -> tuple[datetime, ...]:
    """The next times of a schedule that is not saved yet. Raises ConfigurationError for one that cannot be used."""
    from deployments.schedules import cron_schedule, next_times

    return next_times(cron_schedule(cron, timezone), datetime.now(UTC))


@action(Permission.JOBS_READ)
def timetable(who: Identity, name: str) -> Timetable | None:
    """When a job runs by itself, or None. Raises ConfigurationError when there is no such job."""
    from deployments import jobs

    who.require_of(Permission.JOBS_READ, lambda: jobs.get(name).source)
    return jobs.timetable_of(name)


@action(Permission.JOBS_READ)
def last_runs(who: Identity) -> dict[str, Execution]:
    """The newest backup run of each job that one may see, by the job's name."""
    return executions().newest_of_each_job("backup", within=who.limits.get(Permission.JOBS_READ))


@action(Permission.JOBS_READ)
def everything(who: Identity) -> Jobs:
    """Every job that one may see, by name; also those that cannot be read, with the reason."""
    from deployments.known_jobs import known

    found = known.everything()
    if not who.is_limited(Permission.JOBS_READ):
        return found
    mine = tuple(spec for spec in found.readable if who.reaches(Permission.JOBS_READ, spec.source))
    times = {spec.name: found.timetables[spec.name] for spec in mine if spec.name in found.timetables}
    return replace(found, readable=mine, unreadable=(), timetables=times)


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
def enqueue(who: Identity, name: str) -> str:
    """Put a run of a job at the end of the queue, for whoever takes from it, and give the run's id."""
    from deployments import queued

    return queued.put(_allowed(who, Permission.JOBS_EXECUTE, name).name)


@action(Permission.JOBS_EXECUTE)
def run_in_queue(who: Identity, name: str, put: Callable[[str], None], tell: Callable[[str], None]) -> BackupReport:
    """Put a run of a job at the end of the queue and wait until it is over.

    ``put`` is given the run's id, ``tell`` what the run does, whenever that changes. Raises RunFailed, with the report
    where there is one, unless it is a success. Whoever stops waiting leaves the run in the queue.
    """
    from deployments import queued

    run = queued.put(_allowed(who, Permission.JOBS_EXECUTE, name).name)
    put(run)
    return queued.follow(run, tell)


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

    with who.concealing(permission):
        spec = jobs.get(name)
    who.require(permission, spec.source)
    return spec
