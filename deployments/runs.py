"""Runs as people see them: what is at work, what waits and in which order, what has ended, and each in detail.

Prefect knows what has begun and what waits; the catalog keeps how each run ended, also when Prefect forgets. Nothing
here starts a Prefect server only to look into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun, Log, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, LogSort, TaskRunSort
from prefect.settings import PREFECT_API_URL

from blocks.api import answering
from core.errors import ConfigurationError, NotFound
from core.runs import LogLine, Progress, Run, RunDetails, RunPage
from core.states import RunState
from db.executions import Execution, WantedRuns
from deployments import run_facts
from deployments.client import prefect_client
from services.records import executions

KINDS = ("backup", "restore", "integrity", "heal", "janitor", "catalog-sync", "overdue")  # the names of our flows
PAGE = 200  # Prefect gives no more at once
MOST_LINES = 2000  # of a log at once
SHORTEST = 4  # characters of an id that are enough when they are the beginning of one only
AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def at_hand() -> tuple[Run, ...]:
    """What has not ended: what is at work, oldest first, then what waits, in the order in which its turn comes.

    Raises ConnectionError when a Prefect API that is configured does not answer.
    """
    if not _is_there():
        return ()
    with prefect_client() as client:
        kinds = flows(client)
        at_work = _read(client, FlowRunFilter(state=_in(AT_WORK)), FlowRunSort.START_TIME_ASC)
        waiting = _read(client, _due(), FlowRunSort.EXPECTED_START_TIME_ASC)
        progress = _progress(client, [one.id for one in at_work])
    recorded = {one.flow_run_id: one for one in executions().of_flow_runs([str(one.id) for one in at_work])}
    runs = [
        run_facts.open_run(one, kinds[one.flow_id], recorded.get(str(one.id)), progress=progress.get(one.id))
        for one in at_work
    ]
    runs += [
        run_facts.open_run(one, kinds[one.flow_id], position=position) for position, one in enumerate(waiting, start=1)
    ]
    found = [one for one in runs if not one.state.is_final]
    return tuple(run_facts.with_sources(found, {str(one.id): one for one in (*at_work, *waiting)}))


def ended(wanted: WantedRuns, *, limit: int, offset: int = 0) -> RunPage:
    """A page of the runs that have ended, newest first. Raises ConfigurationError when the catalog fails."""
    final = tuple(state for state in wanted.states or RunState if state.is_final)
    wanted = replace(wanted, states=final)
    found = executions().search(wanted, limit=limit, offset=offset)
    known = _by_id([UUID(one.flow_run_id) for one in found if one.flow_run_id])
    runs = tuple(run_facts.ended_run(one, known.get(one.flow_run_id or "")) for one in found)
    return RunPage(runs, executions().count(wanted))


def find(reference: str, within: frozenset[str] | None = None) -> Run:
    """One run, by its id or its beginning, among those that somebody may see who is limited to some sources.

    Raises NotFound when it is that of none, ConfigurationError when it is that of several.
    """
    found: dict[str, Run] = {}
    if len(reference) >= SHORTEST:
        found = {one.run_id: one for one in at_hand() if one.run_id.startswith(reference)}
        for one in (*_recorded(reference, within), *_only_in_prefect(reference)):
            found.setdefault(one.run_id, one)
    mine = [one for one in found.values() if one.is_within(within)]
    if len(mine) == 1:
        return mine[0]
    hint = "see their ids: dbackup run list"
    if mine:
        raise ConfigurationError(f"there are several runs whose ids begin with {reference}", hint=hint)
    raise NotFound(f"there is no run {reference}", hint=hint)


def details(run: Run) -> RunDetails:
    """All that is known of a run; without its steps while Prefect is away or when it has forgotten them."""
    recorded = executions().of_flow_run(run.run_id) or executions().get(run.run_id)
    report = recorded.report if recorded else None
    api = answering()
    if api is None or (recorded and recorded.flow_run_id is None):
        return RunDetails(run, report=report)
    with prefect_client() as client:
        found = _task_runs(client, run)
    page = f"{api.url.removesuffix('/api')}/runs/flow-run/{run.run_id}"
    return RunDetails(run, tuple(map(run_facts.step, found)), report, page)


def logs(run: Run, since: datetime | None = None) -> tuple[LogLine, ...]:
    """The lines of a run's log from a moment on, oldest first; nothing while Prefect is away.

    Lines come from several processes, up to a few seconds late: whoever follows a log asks from a little earlier on,
    and knows by their ids which lines it has.
    """
    if answering() is None:
        return ()
    wanted = LogFilter(
        flow_run_id=LogFilterFlowRunId(any_=[UUID(run.run_id)]),
        timestamp=LogFilterTimestamp(after_=since) if since else None,  # type: ignore[arg-type]  # any datetime will do
    )
    found: list[Log] = []
    with prefect_client() as client:
        while len(found) < MOST_LINES and (
            page := client.read_logs(wanted, limit=PAGE, offset=len(found), sort=LogSort.TIMESTAMP_ASC)
        ):
            found += page
        steps = {one.id: one.name for one in _task_runs(client, run)} if found else {}
    return tuple(run_facts.log_line(one, steps.get(one.task_run_id, "") if one.task_run_id else "") for one in found)


def _task_runs(client: SyncPrefectClient, run: Run) -> list[TaskRun]:
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run.run_id)]))
    return client.read_task_runs(flow_run_filter=wanted, sort=TaskRunSort.EXPECTED_START_TIME_ASC, limit=PAGE)


def _is_there() -> bool:
    """Whether there is a Prefect API to ask; where nobody's server is up, nothing is at work."""
    return bool(PREFECT_API_URL.value()) or answering() is not None


def _recorded(reference: str, within: frozenset[str] | None) -> Iterable[Run]:
    found = executions().starting_with(reference, within=within)
    known = _by_id([UUID(one.flow_run_id) for one in found if one.flow_run_id])
    return [_of_record(one, known.get(one.flow_run_id or "")) for one in found]


def _of_record(recorded: Execution, found: FlowRun | None) -> Run:
    """A run that was recorded. One that Prefect takes for ended and the catalog does not has only just ended."""
    if recorded.state.is_final or found is None:
        return run_facts.ended_run(recorded, found)
    return run_facts.open_run(found, recorded.kind, recorded)


def _only_in_prefect(reference: str) -> Iterable[Run]:
    """A run that ended before it was recorded."""
    try:
        known = _by_id([UUID(reference)])
    except ValueError:
        return ()
    with prefect_client() as client:
        kinds = flows(client) if known else {}
    runs = [run_facts.open_run(one, kinds[one.flow_id]) for one in known.values() if one.flow_id in kinds]
    return run_facts.with_sources(runs, known)


def _by_id(ids: Sequence[UUID]) -> dict[str, FlowRun]:
    """What Prefect still knows of some runs; nothing while it is away."""
    found: dict[str, FlowRun] = {}
    if not ids or answering() is None:
        return found
    with prefect_client() as client:
        for start in range(0, len(ids), PAGE):
            some = FlowRunFilter(id=FlowRunFilterId(any_=list(ids[start : start + PAGE])))
            found |= {str(one.id): one for one in client.read_flow_runs(flow_run_filter=some, limit=PAGE)}
    return found


def flows(client: SyncPrefectClient) -> dict[UUID, str]:
    """Our flows by their ids: a server may be shared with others."""
    return {one.id: one.name for one in client.read_flows(flow_filter=OURS)}


OURS = FlowFilter(name=FlowFilterName(any_=list(KINDS)))


def _due() -> FlowRunFilter:
    due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC))  # type: ignore[arg-type]  # any datetime will do
    return FlowRunFilter(state=_in([StateType.SCHEDULED]), expected_start_time=due)


def _in(states: Iterable[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))


def _read(client: SyncPrefectClient, wanted: FlowRunFilter, sort: FlowRunSort) -> list[FlowRun]:
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_filter=OURS, flow_run_filter=wanted, sort=sort, limit=PAGE, offset=len(found)
    ):
        found += page
    return found


def _progress(client: SyncPrefectClient, ids: Sequence[UUID]) -> dict[UUID, Progress]:
    """What runs that are at work have written about how far they are."""
    if not ids:
        return {}
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=list(ids)), type=ArtifactFilterType(any_=["progress"])
    )
    found = client.read_artifacts(artifact_filter=wanted, limit=PAGE)
    return {one.flow_run_id: run_facts.progress(one) for one in found if one.flow_run_id}
