"""The record of runs: created as pending, then running, then one final state that never changes.

But for crashed, which others say of a run that is not heard of any more: its own word, if it comes later, counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, update
from sqlalchemy.orm import Session

from core.errors import ConfigurationError
from core.runs import RESTORE, Run
from core.states import RunState
from db.models import ExecutionRow
from db.session import Database
from db.steps import each
from db.upserts import insert_into

_OPEN = [state.value for state in RunState if not state.is_final]
_PRESUMED = RunState.CRASHED.value


@dataclass(frozen=True)
class Execution:
    """One run. ``report`` is JSON, or None while there is none."""

    execution_id: str
    kind: str
    job_name: str
    source: str
    target: str
    flow_run_id: str | None
    state: RunState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    summary: str
    error: str
    report: str | None


@dataclass(frozen=True)
class WantedRuns:
    """Which runs: those that fit everything that is given. Without ``states``, in any; ``source`` is read or written.

    ``within`` limits them to what somebody may see who is limited to these sources; None is no limit.
    """

    kind: str = ""
    job: str = ""
    states: tuple[RunState, ...] = ()
    since: datetime | None = None
    source: str = ""
    within: frozenset[str] | None = None

    def fits(self, run: Run) -> bool:
        """Whether a run is among those that are wanted, as the catalog would say of it."""
        return all(
            (
                self.kind in ("", run.kind),
                self.job in ("", run.job),
                not self.states or run.state in self.states,
                self.since is None or run.queued_at is None or run.queued_at >= self.since,
                not self.source or run.concerns(self.source),
                run.is_within(self.within),
            )
        )


class Executions:
    """The record in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, kind: str, job_name: str, *, flow_run_id: str | None = None, source: str = "", target: str = ""
    ) -> str:
        """Record a run that is about to start, and give its id. It was not over after all if others have noted that.

        ``source`` and ``target`` are empty while unknown.
        """
        execution_id = str(uuid.uuid4())
        with self._database.session() as session:
            session.execute(delete(ExecutionRow).where(ExecutionRow.execution_id == flow_run_id))
            session.add(
                ExecutionRow(
                    execution_id=execution_id,
                    kind=kind,
                    job_name=job_name,
                    source=source,
                    target=target,
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

    def belongs(self, execution_id: str, *, job_name: str, source: str) -> None:
        """Record whose a run is, where that is found out only while it runs."""
        query = update(ExecutionRow).where(ExecutionRow.execution_id == execution_id)
        with self._database.session() as session:
            session.execute(query.values(job_name=job_name, source=source))

    def finish(
        self, execution_id: str, state: RunState, *, summary: str = "", error: str = "", report: str | None = None
    ) -> None:
        """Record how a run ended. Raises ConfigurationError when it has a final state already."""
        if not state.is_final:
            raise ValueError(f"{state} is not a final state")
        values = {"state": state.value, "finished_at": datetime.now(UTC)}
        before = _OPEN if state is RunState.CRASHED else [*_OPEN, _PRESUMED]
        self._advance(execution_id, before, {**values, "summary": summary, "error": error, "report": report})

    def note_ended(self, run: Execution) -> None:
        """Record a run that ended before it could be recorded, by the id it has in Prefect: once, whoever finds it."""
        row = {**asdict(run), "state": run.state.value}
        with self._database.session() as session:
            session.execute(insert_into(session, ExecutionRow).values(row).on_conflict_do_nothing())

    def discard(self, execution_id: str) -> None:
        """Forget a run that has not ended, as if it had never been."""
        query = delete(ExecutionRow).where(ExecutionRow.execution_id == execution_id, ExecutionRow.state.in_(_OPEN))
        with self._database.session() as session:
            session.execute(query)

    def amend(self, execution_id: str, *, summary: str, report: str) -> None:
        """Bring the report of a run that is over up to date: its state, and when it ended, stay as they are."""
        query = update(ExecutionRow).where(ExecutionRow.execution_id == execution_id, ExecutionRow.state.not_in(_OPEN))
        with self._database.session() as session:
            session.execute(query.values(summary=summary, report=report))

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

    def of_flow_run(self, flow_run_id: str) -> Execution | None:
        """The run that Prefect knows by this id, or None."""
        query = select(ExecutionRow).where(ExecutionRow.flow_run_id == flow_run_id)
        with self._database.session() as session:
            row = session.scalars(query).first()
            return _execution(row) if row else None

    def of_flow_runs(self, flow_run_ids: Sequence[str]) -> list[Execution]:
        """The runs that Prefect knows by these ids."""
        query = select(ExecutionRow).where(ExecutionRow.flow_run_id.in_(flow_run_ids))
        with self._database.session() as session:
            return [_execution(row) for row in session.scalars(query)]

    def starting_with(self, beginning: str, *, within: frozenset[str] | None, limit: int = 2) -> list[Execution]:
        """Runs whose id, Prefect's or ours, has this beginning; of these sources only, unless that is None."""
        fits = [
            column.startswith(beginning, autoescape=True)
            for column in (ExecutionRow.flow_run_id, ExecutionRow.execution_id)
        ]
        mine = _conditions(WantedRuns(within=within))
        query = select(ExecutionRow).where(or_(*fits), *mine).order_by(ExecutionRow.created_at.desc()).limit(limit)
        with self._database.session() as session:
            return [_execution(row) for row in session.scalars(query)]

    def search(self, wanted: WantedRuns, *, limit: int, offset: int = 0) -> list[Execution]:
        """A page of the runs that fit, newest first."""
        # The page is found in one index alone; only its own rows, which hold long reports, are read.
        newest = (ExecutionRow.created_at.desc(), ExecutionRow.execution_id.desc())
        page = select(ExecutionRow.execution_id).where(*_conditions(wanted)).order_by(*newest)
        chosen = page.limit(limit).offset(offset).subquery()
        query = select(ExecutionRow).join(chosen, ExecutionRow.execution_id == chosen.c.execution_id)
        with self._database.session() as session:
            return [_execution(row) for row in session.scalars(query.order_by(*newest))]

    def count(self, wanted: WantedRuns) -> int:
        """How many runs fit."""
        query = select(func.count()).select_from(ExecutionRow).where(*_conditions(wanted))
        with self._database.session() as session:
            return int(session.scalar(query) or 0)

    def newest_of_each_job(
        self, kind: str, *, state: RunState | None = None, within: frozenset[str] | None = None
    ) -> dict[str, Execution]:
        """The newest run of this kind of each job, by the job's name; of those in one state, if one is given.

        ``within`` limits them to these sources, as in :class:`WantedRuns`.
        """
        wanted = _conditions(WantedRuns(kind, states=() if state is None else (state,), within=within))
        jobs = each(ExecutionRow.job_name, ExecutionRow.kind == kind)
        newest = (
            select(ExecutionRow.execution_id)
            .where(ExecutionRow.job_name == jobs.c.value, *wanted)
            .order_by(ExecutionRow.created_at.desc(), ExecutionRow.execution_id.desc())
            .limit(1)
            .correlate(jobs)
            .scalar_subquery()
        )
        found = select(newest.label("execution_id")).select_from(jobs).subquery()
        # Columns and not rows as objects, of which a thousand take longer than all else.
        query = select(*ExecutionRow.__table__.columns).join(found, ExecutionRow.execution_id == found.c.execution_id)
        with self._database.session() as session:
            return {row.job_name: _execution(row) for row in session.execute(query)}

    def by_state(self) -> dict[tuple[str, RunState], int]:
        """How many runs there are of each kind, by their state."""
        query = select(ExecutionRow.kind, ExecutionRow.state, func.count()).group_by(
            ExecutionRow.kind, ExecutionRow.state
        )
        with self._database.session() as session:
            return {(kind, RunState(state)): number for kind, state, number in session.execute(query)}

    def by_day(self, since: datetime, kind: str = "backup") -> dict[tuple[date, RunState], int]:
        """How many runs of a kind were created on each day in UTC from ``since`` on, by their state."""
        with self._database.session() as session:
            day = _day_in_utc(session)
            query = (
                select(day, ExecutionRow.state, func.count())
                .where(ExecutionRow.created_at >= since, ExecutionRow.kind == kind)
                .group_by(day, ExecutionRow.state)
            )
            return {
                (date.fromisoformat(text), RunState(state)): number for text, state, number in session.execute(query)
            }

    def recent(self, limit: int = 50, *, offset: int = 0) -> list[Execution]:
        """Runs, newest first."""
        query = select(ExecutionRow).order_by(ExecutionRow.created_at.desc(), ExecutionRow.execution_id.desc())
        with self._database.session() as session:
            return [_execution(row) for row in session.scalars(query.limit(limit).offset(offset))]


def _conditions(wanted: WantedRuns) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.kind:
        found.append(ExecutionRow.kind == wanted.kind)
    if wanted.job:
        found.append(ExecutionRow.job_name == wanted.job)
    if wanted.states:
        found.append(ExecutionRow.state.in_([state.value for state in wanted.states]))
    if wanted.since:
        found.append(ExecutionRow.created_at >= wanted.since)
    if wanted.source:
        found.append(or_(ExecutionRow.source == wanted.source, ExecutionRow.target == wanted.source))
    if wanted.within is not None:
        known = wanted.within - {""}
        found.append(ExecutionRow.source.in_(known))
        found.append(or_(ExecutionRow.kind != RESTORE, ExecutionRow.target.in_(known)))
    return found


def _day_in_utc(session: Session) -> ColumnElement[str]:
    """The day of a run's creation, written ``2026-11-24``: each database has a function of its own for it."""
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d", ExecutionRow.created_at)
    return func.to_char(func.timezone("UTC", ExecutionRow.created_at), "YYYY-MM-DD")


def _execution(row: ExecutionRow | Row[Any]) -> Execution:
    return Execution(
        row.execution_id,
        row.kind,
        row.job_name,
        row.source,
        row.target,
        row.flow_run_id,
        RunState(row.state),
        row.created_at,
        row.started_at,
        row.finished_at,
        row.summary,
        row.error,
        row.report,
    )
