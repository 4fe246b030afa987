"""Runs as people read them: the list, one of them, its steps, its log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from cli import render, words
from core.states import RunState

if TYPE_CHECKING:
    from core.runs import LogLine, Progress, Run, RunDetails, Step

SHORT = 8  # characters of a run's id that are shown in lists
_SIGNS = {RunState.SUCCESS: render.GOOD, RunState.PARTIAL: render.DOUBTFUL, RunState.CANCELLED: Text("·", "dim")}
_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "dim"}


def table(runs: Iterable[Run]) -> RenderableType:
    """A line for each run, and what it does or how it ended."""
    rows = [(one.run_id[:SHORT], one.kind, one.job, _state(one), _when(one), _how(one)) for one in runs]
    return render.table(("Run", "Kind", "Of", "State", "When", "How"), rows, whole=("Run", "Kind", "State", "When"))


def _state(run: Run) -> Text:
    if run.state.is_final:
        return Text.assemble(_SIGNS.get(run.state, render.BAD), " ", run.state.value)
    return Text(f"{run.position}. in line" if run.position else run.stage, "cyan")


def _when(run: Run) -> str:
    at = run.finished_at or run.started_at or run.queued_at
    return words.moment(at) if at else ""


def _how(run: Run) -> str:
    if run.progress and not run.state.is_final:
        return written(run.progress)
    if run.error:
        return run.error.partition("\n")[0]
    return words.duration(run.seconds) if run.seconds is not None else ""


def written(progress: Progress) -> str:
    """How far a run is, in one line."""
    left = f", about {words.duration(round(progress.seconds_left))} left" if progress.seconds_left is not None else ""
    speed = f", {words.size(progress.rate)}/s" if progress.rate else ""
    return f"{progress.share:.0%}, {progress.text}{speed}{left}"


def facts(found: RunDetails) -> RenderableType:
    """All that is known of a run but its steps."""
    run = found.run
    pairs = [
        ("run", run.run_id),
        ("kind", run.kind),
        ("of", run.job),
        ("source", run.source),
        ("into", run.target),
        ("state", run.state.value if run.state.is_final else f"{run.state.value}, {run.stage}"),
        ("position", f"{run.position}. in line" if run.position else ""),
        ("started by", run.trigger),
        ("on", run.host),
        ("in the queue", run.queue),
        ("queued", words.moment(run.queued_at) if run.queued_at else ""),
        ("started", words.moment(run.started_at) if run.started_at else ""),
        ("finished", words.moment(run.finished_at) if run.finished_at else ""),
        ("took", words.duration(run.seconds) if run.seconds is not None else ""),
        ("progress", written(run.progress) if run.progress else ""),
        ("summary", run.summary),
        ("error", run.error),
        ("in Prefect", found.page),
    ]
    return render.facts((name, fact) for name, fact in pairs if fact)


def steps(found: Iterable[Step]) -> RenderableType:
    """Each step, how long it took, and why it failed."""
    rows = [
        (
            Text.assemble(
                _SIGNS.get(one.state, render.BAD) if one.state.is_final else Text("·", "cyan"), " ", one.name
            ),
            words.duration(one.seconds) if one.seconds is not None else "",
            one.error if one.state.is_final else one.state.value.lower(),
        )
        for one in found
    ]
    return render.table(("Step", "Took", ""), rows, figures=("Took",), whole=("Took",))


def _sign(state: RunState) -> Text:
    return _SIGNS.get(state, render.BAD) if state.is_final else Text("·", "cyan")


def log_line(line: LogLine) -> RenderableType:
    """One line of a log: its local time, and its level where that is not the usual one."""
    level = "" if line.level == "INFO" else f"{line.level} "
    at = f"{line.at.astimezone():%H:%M:%S}"
    step = f"{line.step}: " if line.step else ""
    return Text.assemble((at, "dim"), " ", (level, _LEVELS.get(line.level, "")), (step, "cyan"), line.text)
