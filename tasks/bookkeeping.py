"""The record of every run, from its first step to its final state."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from core.errors import DBackupError
from core.jobs import Address
from core.log import logger
from core.masking import mask
from core.reports import BackupReport, CleaningReport, HealReport, IntegrityReport, RestoreReport
from core.settings import settings
from core.states import RunState
from core.upkeep import CatalogReport, OverdueReport
from services.records import executions, inventory
from services.workspace import sweep, workspace
from tasks.late_states import RUN, settle
from tasks.step import step

log = logger(service="catalog")

Report = BackupReport | RestoreReport | IntegrityReport | HealReport | CleaningReport | CatalogReport | OverdueReport


@contextmanager
def recorded(kind: str, job: str, *, source: str = "", target: str = "") -> Iterator[str]:
    """Record a run from here on, under the id that is given. Whatever ends it early gives it a final state.

    ``source`` and ``target`` are what it reads and writes, as far as these are saved under names.
    """
    mark_crashed()
    settle()
    execution = _begin(kind, job, source, target)
    try:
        with workspace(settings().runs, f"{RUN}{execution}"):
            yield execution
    except DBackupError as error:
        _finish(execution, RunState.FAILED, _reason(error))
        raise
    except BaseException as error:
        _finish(execution, RunState.FAILED if isinstance(error, Exception) else RunState.CANCELLED, _reason(error))
        raise


def _reason(error: BaseException) -> str:
    """Why a run ended, and what was noted on the way, for example who could not be told."""
    return "\n".join([mask(str(error)), *getattr(error, "__notes__", ())])


def mark_crashed() -> None:
    """A run whose process is gone without a word left the folder that it held behind: it is not running."""
    for name in sweep(settings().runs):
        note_crashed(name)


def note_crashed(folder: str) -> None:
    """A folder was swept: if it was the one that a run held while it lived, that run has crashed."""
    log.warning("removed what a dead run had left", folder=folder)
    if folder.startswith(RUN):
        _finish(folder.removeprefix(RUN), RunState.CRASHED, "its process ended without a word")


def note_lost(flow_run_id: str) -> None:
    """A flow run has died, here or elsewhere: if it has a record that is open, that is ended."""
    try:
        known = executions().of_flow_run(flow_run_id)
    except DBackupError as error:
        log.warning("could not record that a run has crashed", reason=error.message)
        return
    if known and not known.state.is_final:
        _finish(known.execution_id, RunState.CRASHED, "its process ended without a word")


def source_of(backup: str | None) -> str:
    """The source of a backup, by its id; empty where the catalog does not know it, or fails."""
    try:
        found = inventory().sources_of([backup] if backup else [])
    except DBackupError as error:
        log.warning("this run is recorded without its source", reason=error.message)
        return ""
    return next((Address(source).saved_name for source in found.values()), "")


def belongs(execution: str, *, job: str, source: str) -> None:
    """Record whose a run is, now that it is known."""
    try:
        executions().belongs(execution, job_name=job, source=Address(source).saved_name)
    except DBackupError as error:
        log.warning("could not record whose run this is", reason=error.message)


def _begin(kind: str, job: str, source: str, target: str) -> str:
    """The id of a new execution. A catalog that fails keeps nobody from a backup, and even less from a restore."""
    try:
        execution = executions().create(kind, job, flow_run_id=flow_run.get_id(), source=source, target=target)
        executions().start(execution)
    except DBackupError as error:
        log.warning("this run cannot be recorded", reason=error.message)
        return str(uuid.uuid4())
    return execution


def _finish(execution: str, state: RunState, reason: str) -> None:
    try:
        executions().finish(execution, state, error=reason)
    except DBackupError as error:
        log.warning("could not record how the run ended", reason=error.message)


@step("complete")
def complete(execution: str, report: Report) -> None:
    """Record how the run ended; what is stored is stored, whether this works or not."""
    written = report.model_dump_json()
    try:
        executions().finish(execution, report.state, summary=report.summary, report=written)
    except DBackupError as error:
        log.warning("could not record how the run ended", reason=error.message)
    log.info("run ended", state=report.state.value, summary=report.summary)


def discard(execution: str) -> None:
    """Leave no record of a run that ended well and has nothing to tell."""
    try:
        executions().discard(execution)
    except DBackupError as error:
        log.warning("the record of a run with nothing to tell stays", reason=error.message)


def amend(execution: str, report: BackupReport) -> None:
    """Record what became of a run after its outcome was certain: what it healed, and who was told."""
    try:
        executions().amend(execution, summary=report.summary, report=report.model_dump_json())
    except DBackupError as error:
        log.warning("the record of this run lacks what came after it", reason=error.message)
