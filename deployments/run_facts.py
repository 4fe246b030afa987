"""What Prefect and the catalog know of a run, made one. Where they differ, an end that the catalog knows counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import Artifact, FlowRun, Log, State, StateType, TaskRun

from core.jobs import Address
from core.masking import mask
from core.runs import LogLine, Progress, Run, Step
from core.states import RunState
from db.executions import Execution
from services.records import inventory
from tasks import heartbeat

_STATES = {
    StateType.RUNNING: RunState.RUNNING,
    StateType.CANCELLING: RunState.RUNNING,
    StateType.COMPLETED: RunState.SUCCESS,
    StateType.FAILED: RunState.FAILED,
    StateType.CANCELLED: RunState.CANCELLED,
    StateType.CRASHED: RunState.CRASHED,
}
_STAGES = {StateType.PENDING: "starts", StateType.RUNNING: "runs", StateType.CANCELLING: "is being cancelled"}
_TOLD = {
    "backup": "job",
    "heal": "job",
    "restore": "wish",
    "integrity": "wish",
}  # the parameter that says what is wanted
_SUBJECTS = {
    "janitor": "leftovers",
    "catalog-sync": "every storage",
    "overdue": "every job",
}  # of what has no parameter


def state_of(state: State[Any] | None) -> RunState:
    """What one of Prefect's states is among ours."""
    if state is None:
        return RunState.PENDING
    if state.type is StateType.FAILED and state.name == "Partial":
        return RunState.PARTIAL
    return _STATES.get(state.type, RunState.PENDING)


def stage_of(state: State[Any] | None) -> str:
    """What a run that has not ended does, in words."""
    return _STAGES.get(state.type, "waits for its turn") if state else "waits for its turn"


def open_run(
    found: FlowRun,
    kind: str,
    recorded: Execution | None = None,
    *,
    position: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """A run that Prefect knows, with what the catalog says of it if it has been recorded."""
    if recorded and recorded.state.is_final:
        return ended_run(recorded, found)
    state, wanted = state_of(found.state), _wanted(kind, found)
    started, finished = found.start_time, found.end_time if state.is_final else None
    return Run(
        run_id=str(found.id),
        kind=kind,
        job=recorded.job_name if recorded else _subject(kind, wanted),
        state=state,
        stage="" if state.is_final else stage_of(found.state),
        trigger=_trigger(found),
        **_touched(wanted, recorded),
        host=_host(found),
        queue=found.work_queue_name or "",
        position=position,
        queued_at=found.expected_start_time,
        started_at=started,
        finished_at=finished,
        seconds=_seconds(started, finished or datetime.now(UTC)),
        error=mask((found.state.message if found.state else "") or "") if state.is_final else "",
        progress=progress,
    )


def ended_run(recorded: Execution, found: FlowRun | None) -> Run:
    """A run as the catalog knows it, with what Prefect adds if it has not forgotten it."""
    return Run(
        run_id=recorded.flow_run_id or recorded.execution_id,
        kind=recorded.kind,
        job=recorded.job_name,
        state=recorded.state,
        trigger=_trigger(found) if found else "",
        source=recorded.source,
        target=recorded.target,
        host=_host(found) if found else "",
        queued_at=found.expected_start_time if found else recorded.created_at,
        started_at=recorded.started_at,
        finished_at=recorded.finished_at,
        seconds=_seconds(recorded.started_at, recorded.finished_at),
        summary=recorded.summary,
        error=recorded.error,
    )


def with_sources(runs: Sequence[Run], known: Mapping[str, FlowRun]) -> list[Run]:
    """The same runs; what is to be restored or checked and was not recorded yet, with the source of its backup.

    ``known`` is what Prefect knows of them, by their ids. Raises ConfigurationError when the catalog fails.
    """
    wanted = {one.run_id: _backup_of(one.kind, known[one.run_id]) for one in runs if not one.source}
    sources = inventory().sources_of(sorted(filter(None, wanted.values())))
    return [
        replace(one, source=Address(sources.get(wanted.get(one.run_id, ""), "")).saved_name or one.source)
        for one in runs
    ]


def _backup_of(kind: str, found: FlowRun) -> str:
    """The id of the backup that a run was asked for, whose source only the catalog knows; empty for others."""
    return str(_wanted(kind, found).get("backup") or "") if kind in ("restore", "integrity") else ""


def step(found: TaskRun) -> Step:
    """One of Prefect's task runs."""
    state = state_of(found.state)
    failed = state.is_final and not state.is_good
    return Step(
        name=mask(found.name),
        state=state,
        started_at=found.start_time,
        finished_at=found.end_time if state.is_final else None,
        seconds=_seconds(found.start_time, (found.end_time if state.is_final else None) or datetime.now(UTC)),
        error=mask((found.state.message if found.state else "") or "") if failed else "",
    )


def progress(found: Artifact) -> Progress:
    """What a run writes about how far it is, which other hands may have written to."""
    figures = found.metadata_ or {}
    return Progress(
        share=float(found.data) / 100 if isinstance(found.data, int | float) else 0.0,
        text=str(found.description or ""),
        done=_whole(figures.get("done")),
        total=_whole(figures.get("total")),
        rate=_whole(figures.get("rate")),
        seconds_left=_whole(figures.get("seconds_left")),
    )


def log_line(found: Log, step: str = "") -> LogLine:
    """One of Prefect's log lines."""
    return LogLine(str(found.id), found.timestamp, logging.getLevelName(found.level), mask(found.message), step)


def _wanted(kind: str, found: FlowRun) -> Mapping[str, Any]:
    """What was asked for, as far as it is a mapping: anybody with Prefect's interface may have written it."""
    said = (found.parameters or {}).get(_TOLD.get(kind, ""))
    return said if isinstance(said, Mapping) else {}


def _subject(kind: str, wanted: Mapping[str, Any]) -> str:
    """Whose run it will be in the catalog, once it is recorded."""
    match kind:
        case "backup" | "heal":
            return str(wanted.get("name") or Address(str(wanted.get("source") or "?")).shown)
        case "restore" | "integrity":
            return str(wanted.get("backup") or "every backup")
        case _:
            return _SUBJECTS.get(kind, "")


def _touched(wanted: Mapping[str, Any], recorded: Execution | None) -> dict[str, str]:
    """What a run reads and writes, as far as that is known."""
    said = {name: Address(str(wanted.get(name) or "")).saved_name for name in ("source", "target")}
    known = {"source": recorded.source, "target": recorded.target} if recorded else {}
    return {name: known.get(name) or said[name] for name in said}


def _trigger(found: FlowRun) -> str:
    if said := (found.parameters or {}).get("trigger"):
        return str(said)
    return "schedule" if found.auto_scheduled else "manual"


def _host(found: FlowRun) -> str:
    return str((found.labels or {}).get(heartbeat.HOST, ""))


def _seconds(started: datetime | None, finished: datetime | None) -> float | None:
    return max(0.0, (finished - started).total_seconds()) if started and finished else None


def _whole(text: object) -> int | None:
    try:
        return int(str(text))
    except ValueError:
        return None
