"""The routes of the API. Each asks one action, which asks for the permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from actions import backups, jobs, runs, system
from core.jobs import JobSpec
from dashboard.http_api.answers import Backup, Backups, Health, Job, Jobs, LastRun, Problem, Queued, Run, Runs
from dashboard.http_api.asked import WantedPage
from dashboard.http_api.caller import Caller
from dashboard.monitoring import MONITOR
from db.executions import WantedRuns

if TYPE_CHECKING:
    import core.runs
    from db.executions import Execution
    from deployments.schedules import Timetable

router = APIRouter()
_UNKNOWN: dict[int | str, dict[str, object]] = {404: {"model": Problem}}


@router.get("/health", responses={503: {"model": Health}})
def health(response: Response) -> Health:
    """Whether key, catalog and Prefect answer. Takes no token."""
    good = system.healthy(MONITOR)
    response.status_code = 200 if good else 503
    return Health(status="ok" if good else "degraded")


@router.get("/jobs")
def list_jobs(who: Caller) -> Jobs:
    """The jobs, with what they did last and when they run next. Scope: jobs:read."""
    found, last = jobs.everything(who), jobs.last_runs(who)
    told = [_job(spec, found.timetables.get(spec.name), last.get(spec.name)) for spec in found.readable]
    return Jobs(jobs=tuple(told), unreadable=tuple(one.name for one in found.unreadable))


@router.post("/jobs/{name}/runs", status_code=202, responses=_UNKNOWN)
def run_job(who: Caller, name: str, request: Request, response: Response) -> Queued:
    """Put a run of a job at the end of the queue. Scope: jobs:execute."""
    run_id = jobs.enqueue(who, name)
    where = request.url_for("show_run", run_id=run_id).path
    response.headers["Location"] = where
    return Queued(run_id=run_id, status=where)


@router.get("/runs")
def list_runs(who: Caller, wanted: Annotated[WantedPage, Query()]) -> Runs:
    """The runs that have ended, newest first: of a job, a source, a kind, in some states. Scope: jobs:read."""
    asked = WantedRuns(wanted.kind, wanted.job, tuple(wanted.state), source=wanted.source)
    found = runs.ended(who, asked, limit=wanted.limit, offset=wanted.offset)
    return Runs(runs=tuple(map(_run, found.runs)), total=found.total)


@router.get("/runs/{run_id}", responses=_UNKNOWN)
def show_run(who: Caller, run_id: str) -> Run:
    """A run as it stands. Scope: jobs:read."""
    return _run(runs.show(who, run_id).run)


@router.get("/backups")
def list_backups(who: Caller, job: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Backups:
    """The backups that the catalog knows, newest first, of one job or of all. Scope: backups:read."""
    found = backups.in_catalog(who, job=job, limit=limit)
    return Backups(backups=tuple(map(Backup.model_validate, found.rows)), more=found.more)


def _run(found: core.runs.Run) -> Run:
    return Run.model_validate({**vars(found), "is_final": found.state.is_final})


def _job(spec: JobSpec, timetable: Timetable | None, last: Execution | None) -> Job:
    return Job(
        name=spec.name,
        source=str(spec.source),
        destinations=tuple(map(str, spec.destinations)),
        cron=timetable.cron if timetable else "",
        timezone=timetable.timezone if timetable else spec.timezone,
        paused=timetable.paused if timetable else False,
        next_run=next(iter(timetable.next_times), None) if timetable else None,
        last_run=LastRun.model_validate(last) if last else None,
    )
