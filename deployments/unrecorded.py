"""Runs that ended before they could be recorded get into the history too, with what Prefect says of their end.

A run is recorded by its own first step. One that is cancelled while it waits never gets there, nor does one whose
parameters Prefect refuses, or whose process dies at once; and a catalog may have been away. What was missed and is
made up by another run (``Skipped``) is no run that ended: of these the log tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from core.errors import ConfigurationError
from core.log import logger
from core.masking import mask
from core.states import RunState
from db.executions import Execution
from deployments import run_facts, runs
from deployments.missed import SKIPPED
from services.records import executions

MOST = 200  # runs that are looked at, the newest first
AGAIN = timedelta(minutes=10)  # that the end of a run may be told late, by a clock that differs from others
ENDS = (StateType.CANCELLED, StateType.CRASHED, StateType.FAILED)
BEFORE_IT_BEGAN = "it ended before it began"
log = logger(service="history")


class Unrecorded:
    """Looks for such runs again and again, from where it has looked last."""

    def __init__(self) -> None:
        self._until: datetime | None = None

    def note(self, client: SyncPrefectClient) -> None:
        """Record what has ended unrecorded. A catalog that fails is asked again the next time."""
        try:
            self._note(client)
        except ConfigurationError as error:
            log.warning("the history may lack a run", reason=error.message)

    def _note(self, client: SyncPrefectClient) -> None:
        found = _ended_since(client, self._until)
        recorded = {one.flow_run_id for one in executions().of_flow_runs([str(run.id) for run in found])}
        missing = [run for run in found if str(run.id) not in recorded]
        kinds = runs.flows(client) if missing else {}
        for run in missing:
            note(run, kinds[run.flow_id], run_facts.state_of(run.state))
        self._until = max((run.end_time for run in found if run.end_time), default=self._until)


def note(run: FlowRun, kind: str, state: RunState) -> None:
    """Record how a run ended that has no record of its own. Asked a second time, it changes nothing."""
    [known] = run_facts.with_sources([run_facts.open_run(run, kind)], {str(run.id): run})
    created_at = known.queued_at or run.created or datetime.now(UTC)
    executions().note_ended(
        Execution(
            execution_id=known.run_id,  # so that whoever finds the same run makes no second record
            kind=kind,
            job_name=known.job,
            source=known.source,
            target=known.target,
            flow_run_id=known.run_id,
            state=state,
            created_at=created_at,
            started_at=known.started_at if run.run_count else None,
            finished_at=run.end_time or datetime.now(UTC),
            summary="",
            error=mask((run.state.message if run.state else "") or "") or BEFORE_IT_BEGAN,
            report=None,
        )
    )
    log.info("a run ended before it was recorded", run=run.name, state=state.value)


def _ended_since(client: SyncPrefectClient, until: datetime | None) -> Sequence[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(ENDS))),
        end_time=FlowRunFilterEndTime.model_validate({"after_": until - AGAIN}) if until else None,
    )
    found = client.read_flow_runs(
        flow_filter=runs.OURS, flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=MOST
    )
    return [run for run in found if run.state_name != SKIPPED]
