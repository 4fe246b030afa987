"""Is everything safe? One line for each job, from the catalog alone: a few queries, however many jobs there are.

Safe is a job whose newest complete backup is as young as was asked for and whose last run did not fail. A job that
nobody set a limit for is unwatched: when it stops, nothing will say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.jobs import JobSpec
from core.naming import job_slug
from core.states import RunState
from db.executions import Execution
from db.inventory import Held
from services.backups import saved_job
from services.records import executions, inventory


class Verdict(StrEnum):
    """What to think of a job; the worst comes first."""

    OVERDUE = "overdue"
    DAMAGED = "damaged"
    NEVER = "no backup yet"
    FAILING = "failing"
    UNWATCHED = "unwatched"
    SAFE = "safe"

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should look today."""
        return self not in (Verdict.SAFE, Verdict.UNWATCHED)


_ORDER = list(Verdict)


@dataclass(frozen=True)
class Line:
    """One job. ``checked_at`` is when the newest complete backup was last read again; None when it never was."""

    job: str
    source: str
    verdict: Verdict
    reason: str
    newest: Held | None
    overdue_after: int | None  # hours
    last_run: Execution | None
    checked_at: datetime | None
    restored_at: datetime | None


@dataclass(frozen=True)
class _Known:
    """What the catalog knows of all jobs."""

    newest: Mapping[str, Held]
    runs: Mapping[str, Execution]
    restores: Mapping[str, Execution]


def lines(specs: Iterable[JobSpec], now: datetime, *, within: frozenset[str] | None = None) -> list[Line]:
    """Every job, those that need attention first, from the runs of these sources; None is all of them.

    Raises ConfigurationError when the catalog fails.
    """
    known = _Known(
        inventory().newest_complete(),
        executions().newest_of_each_job("backup", within=within),
        executions().newest_of_each_job("restore", state=RunState.SUCCESS, within=within),
    )
    found = [_line(spec, known, now) for spec in specs]
    return sorted(found, key=lambda line: (_ORDER.index(line.verdict), line.job))


def _line(spec: JobSpec, known: _Known, now: datetime) -> Line:
    reference = saved_job(spec.name)
    newest = known.newest.get(job_slug(reference.name, reference.id))
    last_run, restored = known.runs.get(spec.name), known.restores.get(spec.name)
    checked = [copy.checked_at for copy in newest.copies if copy.checked_at] if newest else []
    verdict, reason = _verdict(spec, newest, last_run, now)
    return Line(
        spec.name,
        str(spec.source),
        verdict,
        reason,
        newest,
        spec.overdue_after,
        last_run,
        max(checked, default=None),
        restored.finished_at if restored else None,
    )


def _verdict(spec: JobSpec, newest: Held | None, last_run: Execution | None, now: datetime) -> tuple[Verdict, str]:
    failed = last_run is not None and last_run.state.is_final and not last_run.state.is_good
    why = (last_run.error or last_run.summary) if last_run and failed else ""
    if newest is None:
        return Verdict.NEVER, why or "it has not run yet"
    limit = timedelta(hours=spec.overdue_after) if spec.overdue_after else None
    if limit and now - newest.started_at > limit:
        return Verdict.OVERDUE, f"no good backup for more than {spec.overdue_after} hours" + (f": {why}" if why else "")
    if bad := [copy for copy in newest.copies if copy.passed is False]:
        return Verdict.DAMAGED, f"the copy on {bad[0].storage} failed its check: {bad[0].detail}"
    if last_run and failed:
        return Verdict.FAILING, f"the last run is {last_run.state.value}" + (f": {why}" if why else "")
    if limit is None:
        return Verdict.UNWATCHED, "nobody is told when it stops: set after how many hours it is overdue"
    return Verdict.SAFE, ""
