"""Runs of jobs that go through the queue: put in, and followed to their end.

A run that is followed belongs to its worker: who follows may go away, and the run goes on. So it does while Prefect is
away for a moment, and then it is followed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound

from core.errors import ConnectionError, DBackupError, RunFailed
from core.masking import mask
from core.reports import BackupReport
from deployments import jobs
from deployments.client import prefect_client
from deployments.run_facts import stage_of, state_of
from services.records import executions

LOOK_SECONDS = 0.5
AWAY_SECONDS = 120.0  # that Prefect may be away before nobody waits for it any longer
RECORDED_SECONDS = 5.0  # that our own record may come after Prefect's
Tell = Callable[[str], None]


def put(name: str) -> str:
    """Put one run of a job at the end of the queue, and give the run's id. Raises ConfigurationError."""
    with prefect_client() as client:
        deployment = jobs.deployment(client, name)
        parameters = {**(deployment.parameters or {}), "trigger": "manual"}
        return str(client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id)


def follow(run: str, tell: Tell) -> BackupReport:
    """Wait for the end of a run, and give its report; ``tell`` is called with what it does, whenever that changes.

    Raises RunFailed, with the report where there is one, unless the run is a success; ConnectionError when Prefect
    stays away.
    """
    tell = _changes(tell)
    answered = time.monotonic()
    while True:
        try:
            with prefect_client() as client:
                state = _ended(client, run, tell)
        except ConnectionError:
            if time.monotonic() - answered > AWAY_SECONDS:
                raise
            tell("cannot be seen while Prefect is away")
            time.sleep(LOOK_SECONDS)
            continue
        if state is not None:
            return _outcome(run, state)
        answered = time.monotonic()
        time.sleep(LOOK_SECONDS)


def _changes(tell: Tell) -> Tell:
    """Tell only what differs from what was told last."""
    told: list[str] = []

    def call(text: str) -> None:
        if told[-1:] != [text]:
            told.append(text)
            tell(text)

    return call


def _ended(client: SyncPrefectClient, run: str, tell: Tell) -> State[Any] | None:
    """The state of a run that has ended; of another one it is told what it does."""
    try:
        state = client.read_flow_run(UUID(run)).state
    except ObjectNotFound:
        raise RunFailed(f"run {run} is gone from Prefect", hint="somebody has deleted it there") from None
    if state is not None and state.is_final():
        return state
    tell(stage_of(state))
    return None


def _outcome(run: str, state: State[Any]) -> BackupReport:
    report, reason = _recorded(run)
    if report is None:
        reason = reason or mask(state.message or "") or "it left no report here"
        raise RunFailed(
            f"run {run} ended as {state_of(state).value}: {reason.splitlines()[0]}", hint=f"see: dbackup run logs {run}"
        )
    if report.state.is_good:
        return report
    first = next(iter(report.failures))
    raise RunFailed(f"{report.summary}: {first}", hint=first.hint, report=report)


def _recorded(run: str) -> tuple[BackupReport | None, str]:
    """The report of a run from our own record, or why it has none; a record on another machine is not seen here."""
    deadline = time.monotonic() + RECORDED_SECONDS
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
