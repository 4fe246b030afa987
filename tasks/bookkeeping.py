"""The record of every run, from its first step to its final state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from core.errors import DBackupError
from core.log import logger
from core.reports import BackupReport, IntegrityReport, RestoreReport
from core.states import RunState
from services.records import executions
from tasks.step import step

log = logger(service="catalog")


@contextmanager
def recorded(kind: str, job: str) -> Iterator[str]:
    """Record a run from here on, under the id that is given. Whatever ends it early gives it a final state."""
    execution = executions().create(kind, job, flow_run_id=flow_run.get_id())
    executions().start(execution)
    try:
        yield execution
    except DBackupError as error:
        _finish(execution, RunState.FAILED, error.message)
        raise
    except BaseException as error:
        _finish(execution, RunState.FAILED if isinstance(error, Exception) else RunState.CANCELLED, str(error))
        raise


def _finish(execution: str, state: RunState, reason: str) -> None:
    try:
        executions().finish(execution, state, error=reason)
    except DBackupError as error:
        log.warning("could not record how the run ended", reason=error.message)


@step("complete")
def complete(execution: str, report: BackupReport | RestoreReport | IntegrityReport) -> None:
    """Record how the run ended; what is stored is stored, whether this works or not."""
    try:
        executions().finish(execution, report.state, summary=report.summary, report=report.model_dump_json())
    except DBackupError as error:
        log.warning("could not record how the run ended", reason=error.message)
    log.info("run ended", state=report.state.value, summary=report.summary)
