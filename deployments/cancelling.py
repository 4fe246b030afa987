"""Ending a run: Prefect is told, whoever looks after the run ends its process, and both records agree in the end.

A run in the queue is ended by its worker. One that was begun on the command line, or whose worker is gone, is ended
here by its process; one that waits has none. A run of another machine, or of another home of this
one, whose worker is silent cannot be reached from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelled, Cancelling

from core.errors import ConfigurationError, ConnectionError
from core.log import logger
from core.runs import Run
from core.states import RunState
from deployments import processes, unrecorded
from deployments.client import prefect_client
from deployments.run_facts import state_of
from deployments.runs import find
from services.records import executions
from tasks import heartbeat
from tasks.bookkeeping import mark_crashed
from tasks.late_states import told_state

QUICK_SECONDS = 10.0  # in which a run that nobody carries out, or is only starting, comes to its end
PATIENCE_SECONDS = 40.0  # for a worker, which gives a run 30 seconds to clean up
MOST_PROCESSES = 5
_LOOK_SECONDS = 0.2
log = logger(service="cancel")


def cancel(run: Run) -> Run:
    """End a run, wait until nothing of it lives, and give what became of it: it may have ended by itself meanwhile.

    Raises ConfigurationError when it has ended already, ConnectionError when it is carried out where nobody hears.
    """
    if run.state.is_final:
        raise ConfigurationError(
            f"run {run.run_id} has ended already, as {run.state.value}", hint="only what waits or runs can be cancelled"
        )
    with prefect_client() as client:
        client.set_flow_run_state(UUID(run.run_id), Cancelling(message="somebody has cancelled it"))
        _end(client, run)
        _agree(client, run)
    return find(run.run_id)


def _end(client: SyncPrefectClient, run: Run) -> None:
    labels = client.read_flow_run(UUID(run.run_id)).labels
    if heartbeat.is_elsewhere(labels):
        if not _waited(lambda: _is_final(client, run), PATIENCE_SECONDS):
            raise ConnectionError(
                f"run {run.run_id} is carried out on {heartbeat.place(labels)}, where no worker answers",
                hint="it is cancelled when that worker is back; or end it there",
            )
        return
    pid = processes.of_run(run.run_id)
    if pid is None:
        _waited(lambda: _is_final(client, run) or bool(processes.of_run(run.run_id)), QUICK_SECONDS)
        pid = processes.of_run(run.run_id)
    if pid and processes.has_worker(pid) and _waited(lambda: processes.of_run(run.run_id) is None, PATIENCE_SECONDS):
        # Its worker tells Prefect, after it has looked in one more process whether the run wants to hear of its end.
        _waited(lambda: _is_final(client, run) and processes.of_run(run.run_id) is None, PATIENCE_SECONDS)
        return
    for _ in range(MOST_PROCESSES):  # beside the run itself, those that Prefect has put around it
        if (pid := processes.of_run(run.run_id)) is None:
            break
        processes.end(pid)


def _agree(client: SyncPrefectClient, run: Run) -> None:
    """Let the catalog and Prefect say the same; what a run has said of itself at its end counts."""
    recorded = executions().of_flow_run(run.run_id)
    if recorded is None and _ended_as(client, run) in (RunState.CANCELLED, None):
        unrecorded.note(client.read_flow_run(UUID(run.run_id)), run.kind, RunState.CANCELLED)
        recorded = executions().of_flow_run(run.run_id)
    if recorded and not recorded.state.is_final:
        with suppress(ConfigurationError):  # it has said so itself, just now
            executions().finish(recorded.execution_id, RunState.CANCELLED, error="somebody has cancelled it")
        recorded = executions().get(recorded.execution_id)
    mark_crashed()  # only now: a run that had to be killed was cancelled, and has not crashed
    known = recorded.state if recorded else RunState.CANCELLED
    if _ended_as(client, run) is not known:
        state = told_state(recorded) if recorded else Cancelled()
        client.set_flow_run_state(UUID(run.run_id), state, force=True)
    log.info("cancelled", run=run.run_id, state=known.value)


def _ended_as(client: SyncPrefectClient, run: Run) -> RunState | None:
    """How a run ended for Prefect; None while it has not."""
    state = state_of(client.read_flow_run(UUID(run.run_id)).state)
    return state if state.is_final else None


def _is_final(client: SyncPrefectClient, run: Run) -> bool:
    return _ended_as(client, run) is not None


def _waited(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
