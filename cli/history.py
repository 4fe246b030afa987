"""``dbackup run``: what runs, what waits, what has ended, and how to cancel it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import command
from cli.options import Limit
from cli.output import Output, WrongUsage
from core.states import RunState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from core.runs import LogLine, RunDetails

runs = typer.Typer(help="What runs, what waits, and what has ended.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.", show_default=False)]
_LATE = timedelta(seconds=10)  # that a line of a log may come after a younger one
_LOOK_SECONDS = 1.0


@command(runs, "list")
def list_(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    *,
    job: Annotated[str, typer.Option(metavar="NAME", help="Only of this job.", show_default=False)] = "",
    source: Annotated[str, typer.Option(metavar="NAME", help="Only of or into this source.", show_default=False)] = "",
    kind: Annotated[str, typer.Option(help="Only backup, restore, integrity, …", show_default=False)] = "",
    state: Annotated[
        list[RunState] | None, typer.Option(case_sensitive=False, help="Only in this state.", show_default=False)
    ] = None,
    limit: Limit = 20,
    page: Annotated[int, typer.Option(min=1, help="Of those that have ended, newest first.")] = 1,
) -> None:
    """List what runs and what waits in the queue, then what has ended, newest first."""
    from actions import runs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render, render_runs, words
    from db.executions import WantedRuns

    wanted = WantedRuns(kind=kind, job=job, states=tuple(state or ()), source=source)
    with out.waiting("looking"):
        now = [one for one in actions.at_hand(LOCAL_ADMINISTRATOR) if wanted.fits(one)] if page == 1 else []
        past = actions.ended(LOCAL_ADMINISTRATOR, wanted, limit=limit, offset=(page - 1) * limit)
    shown = [*now, *past.runs]
    pages = -(-past.total // limit)
    more = [render.note(f"page {page} of {pages}, {words.count(past.total, 'run')} in all")] if pages > 1 else []
    table = render_runs.table(shown) if shown else render.note("no run fits")
    out.answer({"at_hand": now, "ended": past.runs, "total": past.total, "page": page}, table, *more)


@command(runs)
def show(out: Output, run: Which) -> None:
    """Show one run with its steps."""
    from actions import runs as actions
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = actions.show(LOCAL_ADMINISTRATOR, run)
    out.answer(found, *_shown(found))


def _shown(found: RunDetails) -> list[RenderableType]:
    from cli import render_runs

    return [render_runs.facts(found), *([render_runs.steps(found.steps)] if found.steps else [])]


@command(runs)
def cancel(out: Output, run: Which) -> None:
    """End a run that waits or is at work, and wait until it has cleaned up behind itself.

    The exit code is 1 when it has ended otherwise meanwhile.
    """
    from actions import runs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("it cleans up"):
        ended = actions.cancel(LOCAL_ADMINISTRATOR, run)
    is_cancelled = ended.state is RunState.CANCELLED
    said = f"run {ended.run_id} of {ended.job or ended.kind}"
    told = f"{said} is cancelled" if is_cancelled else f"{said} had ended meanwhile, as {ended.state.value}"
    out.answer(ended, render.done(told) if is_cancelled else render.warning(told))
    if not is_cancelled:
        raise typer.Exit(1)


@command(runs)
def logs(
    out: Output,
    run: Which,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print what a run has logged."""
    from actions import runs as actions
    from actions.door import LOCAL_ADMINISTRATOR

    if not follow:
        lines = actions.logs(LOCAL_ADMINISTRATOR, run)
        out.answer({"lines": lines}, *map(_line, lines))
        return
    if out.as_json:
        raise WrongUsage("--json prints one object, and --follow many lines", hint="leave one of them out")
    _followed(out, run)


def _followed(out: Output, reference: str) -> None:
    from actions import runs as actions
    from actions.door import LOCAL_ADMINISTRATOR

    said: set[str] = set()
    since: datetime | None = None
    while True:
        over = actions.show(LOCAL_ADMINISTRATOR, reference).run.state.is_final
        lines = actions.logs(LOCAL_ADMINISTRATOR, reference, since)
        for line in lines:
            if line.line_id not in said:
                said.add(line.line_id)
                out.answer(None, _line(line))
        if over:
            return
        since = lines[-1].at - _LATE if lines else since
        time.sleep(_LOOK_SECONDS)


def _line(line: LogLine) -> RenderableType:
    from cli import render_runs

    return render_runs.log_line(line)
