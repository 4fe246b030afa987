"""Runs of jobs that go through the queue: put in, followed to their end, listed in their order.

A run that is followed belongs to its worker: who follows may go away, and the run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from core.errors import DBackupError, RunFailed
from core.masking import mask
from core.reports import BackupReport
from core.states import RunState
from deployments import jobs, pool
from deployments.client import prefect_client
from services.records import executions

LOOK_SECONDS = 0.5
_PAGE = 200
_AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_RECORDED_SECONDS = 5.0  # that our own record may come after Prefect's
_ENDS = {
    StateType.COMPLETED: RunState.SUCCESS,
    StateType.FAILED: RunState.FAILED,
    StateType.CANCELLED: RunState.CANCELLED,
    StateType.CRASHED: RunState.CRASHED,
}


@dataclass(frozen=True)
class QueuedRun:
    """One run in the queue: of which job or flow, whether it is at work, and since when it is or waits."""

    run: str
    job: str
    at_work: bool
    since: datetime | None


def put(name: str) -> str:
    """Put one run of a job at the end of the queue, and give the run's id. Raises ConfigurationError."""
    with prefect_client() as client:
        deployment = jobs.deployment(client, name)
        parameters = {**(deployment.parameters or {}), "trigger": "manual"}
        return str(client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id)


def waiting() -> tuple[QueuedRun, ...]:
    """What is in the queue: what is at work, oldest first, then what waits, in the order in which its turn comes."""
    with prefect_client() as client:
        at_work = _runs(client, FlowRunFilter(state=_in(*_AT_WORK)), FlowRunSort.START_TIME_ASC)
        due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC))  # type: ignore[arg-type]  # any datetime will do
        held = FlowRunFilter(state=_in(StateType.SCHEDULED), expected_start_time=due)
        queued = _runs(client, held, FlowRunSort.EXPECTED_START_TIME_ASC)
        names = _names(client, [*at_work, *queued])
    return tuple(
        QueuedRun(
            run=str(one.id),
            job=names.get(str(one.deployment_id), one.name),
            at_work=one in at_work,
            since=one.start_time or one.expected_start_time,
        )
        for one in [*at_work, *queued]
    )


def follow(run: str, tell: Callable[[str], None]) -> BackupReport:
    """Wait for the end of a run, and give its report; ``tell`` is called with what it does, whenever that changes.

    Raises RunFailed, with the report where there is one, unless the run is a success.
    """
    said = ""
    with prefect_client() as client:
        while (state := _state(client, run)).type not in _ENDS:
            if (now := _stage(state)) != said:
                tell(said := now)
            time.sleep(LOOK_SECONDS)
    return _outcome(run, state)


def _outcome(run: str, state: State) -> BackupReport:
    end = _ENDS[state.type]
    report, reason = _recorded(run)
    if report is None:
        reason = reason or mask(state.message or "") or "it left no report here"
        raise RunFailed(
            f"run {run} ended as {end.value}: {reason.splitlines()[0]}",
            hint="its log is in Prefect, and the worker's in the logs of the home that runs it",
        )
    if report.state.is_good:
        return report
    first = next(iter(report.failures))
    raise RunFailed(f"{report.summary}: {first}", hint=first.hint, report=report)


def _recorded(run: str) -> tuple[BackupReport | None, str]:
    """The report of a run from our own record, or why it has none; a record on another machine is not seen here."""
    deadline = time.monotonic() + _RECORDED_SECONDS
    try:
        while (found := executions().of_flow_run(run)) is not None and not found.state.is_final:
            if time.monotonic() > deadline:
                return None, ""
            time.sleep(LOOK_SECONDS)
    except DBackupError as error:
        return None, error.message
    if found is None:
        return None, ""
    return BackupReport.model_validate_json(found.report) if found.report else None, found.error


def _state(client: SyncPrefectClient, run: str) -> State:
    try:
        state = client.read_flow_run(run).state  # type: ignore[arg-type]  # it takes a text, too
    except ObjectNotFound:
        raise RunFailed(f"run {run} is gone from Prefect", hint="somebody has deleted it there") from None
    return state or State(type=StateType.SCHEDULED)


def _stage(state: State) -> str:
    if state.type is StateType.SCHEDULED:
        return "waits for its turn"
    return {StateType.RUNNING: "runs", StateType.CANCELLING: "is being cancelled"}.get(state.type, "starts")


def _in(*types: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def _runs(client: SyncPrefectClient, wanted: FlowRunFilter, sort: FlowRunSort) -> list[FlowRun]:
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool.POOL]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=wanted, work_pool_filter=ours, sort=sort, limit=_PAGE, offset=len(found)
    ):
        found += page
    return found


def _names(client: SyncPrefectClient, runs: list[FlowRun]) -> dict[str, str]:
    """The names of the jobs that the runs are of, by the deployment's id."""
    wanted = sorted({run.deployment_id for run in runs if run.deployment_id})
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _PAGE):
        some = DeploymentFilter(id=DeploymentFilterId(any_=wanted[start : start + _PAGE]))
        found |= {str(one.id): one.name for one in client.read_deployments(deployment_filter=some, limit=_PAGE)}
    return found
