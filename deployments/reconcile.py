"""Runs that nobody carries out any longer: found, and given a final state, so that their slots are free.

A worker that is killed together with its runs leaves them "running" for ever. Whether a run lives is asked of this
machine: its process carries the run's id in its environment, and a run that was begun on the command line holds the
folder of its execution. Runs of other machines are left to those.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from core.log import logger
from core.settings import settings
from deployments import processes
from deployments.client import prefect_client
from deployments.run_facts import HOST
from services.records import executions
from services.workspace import alive
from tasks.bookkeeping import mark_crashed

_OPEN = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_PAGE = 200
_YOUNG = timedelta(seconds=60)
log = logger(service="reconcile")


def reconcile(*, whole: bool) -> list[str]:
    """Mark what has died as crashed, and give the names of those runs.

    ``whole`` says that no other machine works for this API: then also runs of which nobody knows the machine are ours.
    """
    with prefect_client() as client:
        here = socket.gethostname()
        begun = [run for run in _open_runs(client) if not _is_young(run)]
        living = _living()  # after the runs: what begins in between is not judged
        dead = [run for run in begun if _is_ours(run, here, whole=whole) and not _lives(run, living)]
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            log.warning("a run had died without a word", run=run.name)
    mark_crashed()
    return [run.name for run in dead]


def _is_young(run: FlowRun) -> bool:
    """Whether a worker may have taken it just now, so that its process is still on its way."""
    state = run.state
    return state is not None and state.is_pending() and datetime.now(UTC) - state.timestamp < _YOUNG


def _is_ours(run: FlowRun, here: str, *, whole: bool) -> bool:
    host = (run.labels or {}).get(HOST)
    return host == here or (host is None and whole)


def _lives(run: FlowRun, living: frozenset[str]) -> bool:
    return str(run.id) in living


def _open_runs(client: SyncPrefectClient) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
        found += page
    yield from found


def _living() -> frozenset[str]:
    """The ids of the flow runs that some process of this machine carries out."""
    prefix = "run-"
    held = {name.removeprefix(prefix) for name in alive(settings().runs) if name.startswith(prefix)}
    begun_here = {one.flow_run_id for one in map(executions().get, held) if one and one.flow_run_id}
    return frozenset({*begun_here, *(run for _, run in processes.carried_out())})
