"""The record of runs: created as pending, then running, then one final state that never changes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update

from core.errors import ConfigurationError
from core.states import RunState
from db.models import ExecutionRow
from db.session import Database

_OPEN = [state.value for state in RunState if not state.is_final]


@dataclass(frozen=True)
class Execution:
    """One run. ``report`` is JSON, or None while there is none."""

    execution_id: str
    kind: str
    job_name: str
    flow_run_id: str | None
    state: RunState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    summary: str
    error: str
    report: str | None


class Executions:
    """The record in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, kind: str, job_name: str, *, flow_run_id: str | None = None) -> str:
        """Record a run that is about to start, and give its id."""
        execution_id = str(uuid.uuid4())
        with self._database.session() as session:
            session.add(
                ExecutionRow(
                    execution_id=execution_id,
                    kind=kind,
                    job_name=job_name,
                    flow_run_id=flow_run_id,
                    state=RunState.PENDING.value,
                    created_at=datetime.now(UTC),
                )
            )
        return execution_id

    def start(self, execution_id: str) -> None:
        """Record that a run is running. Raises ConfigurationError when it has been started or ended already."""
        values = {"state": RunState.RUNNING.value, "started_at": datetime.now(UTC)}
        self._advance(execution_id, [RunState.PENDING.value], values)

    def finish(
        self, execution_id: str, state: RunState, *, summary: str = "", error: str = "", report: str | None = None
    ) -> None:
        """Record how a run ended. Raises ConfigurationError when it has one already."""
        if not state.is_final:
            raise ValueError(f"{state} is not a final state")
        values = {"state": state.value, "finished_at": datetime.now(UTC)}
        self._advance(execution_id, _OPEN, {**values, "summary": summary, "error": error, "report": report})

    def _advance(self, execution_id: str, states: Sequence[str], values: Mapping[str, object]) -> None:
        """Change a run that is in one of the states: one statement, so that of two at once only one holds."""
        query = update(ExecutionRow).where(ExecutionRow.execution_id == execution_id, ExecutionRow.state.in_(states))
        with self._database.session() as session:
            changed = session.execute(query.values(values)).rowcount  # type: ignore[attr-defined]
        if not changed:
            raise ConfigurationError(
                f"run {execution_id} is unknown, or is past that state",
                hint="a run is started once, and has one final state",
            )

    def get(self, execution_id: str) -> Execution | None:
        """One run, or None."""
        with self._database.session() as session:
            row = session.get(ExecutionRow, execution_id)
            return _execution(row) if row else None

    def recent(self, limit: int = 50, *, offset: int = 0) -> list[Execution]:
        """Runs, newest first."""
        query = select(ExecutionRow).order_by(ExecutionRow.created_at.desc(), ExecutionRow.execution_id)
        with self._database.session() as session:
            return [_execution(row) for row in session.scalars(query.limit(limit).offset(offset))]


def _execution(row: ExecutionRow) -> Execution:
    return Execution(
        row.execution_id,
        row.kind,
        row.job_name,
        row.flow_run_id,
        RunState(row.state),
        row.created_at,
        row.started_at,
        row.finished_at,
        row.summary,
        row.error,
        row.report,
    )
