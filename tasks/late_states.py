"""Runs that ended while Prefect was away: they are told to it when it is back.

The catalog has the outcome of a run in any case. Prefect goes on showing it as running, or takes it for crashed when
its worker could tell no more than that a process had ended.
"""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Crashed, Failed

from blocks.api import prefect_api
from core.log import logger
from core.masking import mask
from core.settings import settings
from core.states import RunState
from db.executions import Execution
from services.records import executions
from tasks import heartbeat

RUN = "run-"  # of the folder that a run holds for as long as its process lives
MOST = 200  # runs that are looked at, the newest first
OPEN = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
log = logger(service="prefect")


def settle() -> None:
    """Give Prefect the outcome of every run that it takes for unfinished or crashed and the catalog knows better.

    Raises nothing: this is about the history of other runs.
    """
    try:
        with prefect_api(), get_client(sync_client=True) as client:
            _settle(client)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason for the run that is about to start
        log.warning("Prefect's history may lack the end of a run", reason=mask(f"{type(error).__name__}: {error}"))


def _settle(client: SyncPrefectClient) -> None:
    types = FlowRunFilterStateType(any_=[*OPEN, StateType.CRASHED])
    doubtful = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=types)),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=MOST,
    )
    for run in doubtful:
        if not run.state or not (run.state.is_crashed() or _may_be_told_here(run)):
            continue
        known = executions().of_flow_run(str(run.id))
        if known is None or not known.state.is_final or _lives(known):
            continue
        state = told_state(known)
        if run.state is None or run.state.type != state.type:
            client.set_flow_run_state(run.id, state, force=True)
            log.info("told Prefect how an earlier run ended", flow_run=run.name, state=known.state.value)


def _may_be_told_here(run: FlowRun) -> bool:
    """Whether this home knows if an unfinished run still lives: one of another may not be through with its end."""
    return heartbeat.HOME not in run.labels or heartbeat.is_of_this_home(run.labels)


def _lives(run: Execution) -> bool:
    """Whether its process is still about something, or has left what is to be swept first."""
    return (settings().runs / f"{RUN}{run.execution_id}").exists()


def told_state(run: Execution) -> State[None]:
    """What the run itself would have told Prefect."""
    said = run.summary or run.error or None
    match run.state:
        case RunState.SUCCESS:
            return Completed(message=said)
        case RunState.PARTIAL:
            return Failed(name="Partial", message=said)
        case RunState.CANCELLED:
            return Cancelled(message=said)
        case RunState.CRASHED:
            return Crashed(message=said)
        case _:
            return Failed(message=said)
