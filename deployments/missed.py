"""What was missed while nothing could run is made up once, and never in a burst.

Prefect plans runs ahead. After an outage all that are late by then would start one after the other, each of them a full
backup. So before a worker takes runs, for the first time or again after a time in which it could not, :func:`settle`
leaves of each job's late runs the newest, which stands for all of them, and skips the others; where none was planned,
because the server was away too, it plans one. A job that does not want to catch up, or is paused, loses its late runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import NoSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Scheduled

from core.jobs import JobSpec
from core.log import logger
from deployments import jobs
from deployments.client import prefect_client
from deployments.schedules import last_time
from services.records import executions

ON_TIME = timedelta(minutes=2)  # a run that is late by less is no missed one
SKIPPED = "Skipped"
log = logger(service="schedule")


@dataclass(frozen=True)
class LateRun:
    """A run that was planned for a moment that has passed, and has not begun."""

    run_id: UUID
    at: datetime


@dataclass(frozen=True)
class Decision:
    """What becomes of a job's late runs: which one stays, which go, and the missed time to plan a run for."""

    kept: LateRun | None = None
    dropped: tuple[LateRun, ...] = ()
    made_up: datetime | None = None


@dataclass(frozen=True)
class Settled:
    """What was decided about one job."""

    name: str
    decision: Decision


def decide(late: Sequence[LateRun], missed: datetime | None, *, catch_up: bool, now: datetime) -> Decision:
    """Decide about one job's late runs. ``missed`` is the newest time for which no run was planned at all, if any.

    At most one run comes of it, however much was missed; asked again, it decides the same.
    """
    ordered = sorted(late, key=lambda one: (one.at, one.run_id))
    if not catch_up:
        too_late = tuple(one for one in ordered if now - one.at > ON_TIME)
        ordered = [one for one in ordered if one not in too_late]
        return Decision(ordered[-1] if ordered else None, (*too_late, *ordered[:-1]))
    if ordered:
        return Decision(ordered[-1], tuple(ordered[:-1]))
    return Decision(made_up=missed)


def settle(now: datetime | None = None) -> tuple[Settled, ...]:
    """Settle the late runs of every job. Call it before a worker takes any. Raises ConnectionError."""
    now = now or datetime.now(UTC)
    recorded = {name: run.created_at for name, run in executions().newest_of_each_job("backup").items()}
    with prefect_client() as client:
        late = _late(client, now)
        found = [_settled(client, one, late[one.id], recorded.get(one.name), now) for one in jobs.deployments(client)]
    return tuple(one for one in found if one.decision != Decision())


def _settled(
    client: SyncPrefectClient,
    deployment: DeploymentResponse,
    late: Sequence[LateRun],
    recorded: datetime | None,
    now: datetime,
) -> Settled:
    active = not deployment.paused and any(one.active for one in deployment.schedules)
    wanted = active and _catches_up(deployment)
    missed = _missed(client, deployment, recorded, now) if wanted and not late else None
    decision = decide(late, missed, catch_up=wanted, now=now)
    for run in decision.dropped:
        message = "missed while nothing could run; only the newest of the missed runs is made up"
        client.set_flow_run_state(run.run_id, State(type=StateType.CANCELLED, name=SKIPPED, message=message))
    if decision.made_up:
        _make_up(client, deployment, decision.made_up)
    if decision.dropped or decision.made_up:
        kept = decision.made_up or (decision.kept.at if decision.kept else None)
        log.warning("runs were missed", job=deployment.name, skipped=len(decision.dropped), made_up=str(kept or "none"))
    return Settled(deployment.name, decision)


def _catches_up(deployment: DeploymentResponse) -> bool:
    """Whether a job wants it; one that cannot be read has not said no."""
    spec = jobs.read(deployment)
    return spec.catch_up if isinstance(spec, JobSpec) else True


def _late(client: SyncPrefectClient, now: datetime) -> Mapping[UUID, list[LateRun]]:
    """The runs that the server planned, that are due and have not begun, by their deployments."""
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": now}),
    )
    found: defaultdict[UUID, list[LateRun]] = defaultdict(list)
    offset = 0
    while page := _runs(client, wanted, FlowRunSort.EXPECTED_START_TIME_ASC, limit=jobs.PAGE, offset=offset):
        for run in page:
            if run.deployment_id and run.auto_scheduled and not run.run_count and run.expected_start_time:
                found[run.deployment_id].append(LateRun(run.id, run.expected_start_time))
        offset += len(page)
    return found


def _runs(
    client: SyncPrefectClient, wanted: FlowRunFilter, sort: FlowRunSort, *, limit: int, offset: int = 0
) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=wanted, sort=sort, limit=limit, offset=offset)


def _missed(
    client: SyncPrefectClient, deployment: DeploymentResponse, recorded: datetime | None, now: datetime
) -> datetime | None:
    """The newest time of a schedule since anything is known of the job, for which nothing was planned.

    Our record answers for most jobs. Prefect, which forgets runs after a while, is asked for the others only: a system
    may have a thousand jobs.
    """
    known = [recorded] if recorded else []
    if _passed(deployment, known, now) is None:
        return None
    before = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": now}),
    )
    newest = [run.expected_start_time for run in _runs(client, before, FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)]
    return _passed(deployment, [*known, *(at for at in newest if at)], now)


def _passed(deployment: DeploymentResponse, known: Sequence[datetime], now: datetime) -> datetime | None:
    """The newest time of a schedule that has passed since it was made, and since anything that is known of the job."""
    times = []
    for one in deployment.schedules:
        if one.active and not isinstance(one.schedule, NoSchedule) and (since := one.updated or one.created):
            times.append(last_time(one.schedule, max(since, *known, since), now - ON_TIME))
    return max((at for at in times if at and all(at > one for one in known)), default=None)


def _make_up(client: SyncPrefectClient, deployment: DeploymentResponse, missed: datetime) -> None:
    """Plan one run now. The key makes Prefect give the same run when it is asked a second time."""
    client.create_flow_run_from_deployment(
        deployment.id,
        state=Scheduled(message=f"makes up the run of {missed:%Y-%m-%d %H:%M} UTC"),
        idempotency_key=f"made up {deployment.id} {missed.isoformat()}",
    )
