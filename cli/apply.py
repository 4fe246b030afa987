"""``dbackup apply``: make the system agree with a file.

The exit code is 0 when it is done or nothing is to do, 1 when a step failed, 2 when the file is wrong or nobody can be
asked, 3 when ``--dry-run`` found something to do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import command
from cli.exits import PARTIAL
from cli.options import Yes
from cli.output import Output, WrongUsage
from core import words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actions.apply import Plan, Step

app = typer.Typer()
SOMETHING_TO_DO = PARTIAL
_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


@command(app)
def apply(
    out: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of YAML.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the difference; the exit code is 3 when there is one.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what the file's sections do not name. Keys always stay.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Make sources, storages, channels, profiles, jobs and groups agree with a file.

    It shows the difference first and asks. The second time there is nothing to do.
    """
    from actions import apply as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    planned = _planned(out, file, prune)
    shown = _shown(planned)
    answer = _plain(planned) | {"dry_run": dry_run}
    if not planned.steps:
        out.answer(answer | {"done": []}, render.done(f"nothing to do: {_agree(planned.unchanged)}"))
        return
    if dry_run:
        out.answer(answer | {"done": []}, *shown, _summary(planned))
        raise typer.Exit(SOMETHING_TO_DO)
    for one in (*shown, _summary(planned)):
        out.note(one)
    if not yes:
        _confirm()
    done: list[str] = []

    def tell(step: Step) -> None:
        done.append(str(step))
        out.note(render.done(str(step)))

    actions.apply(LOCAL_ADMINISTRATOR, planned, tell)
    out.answer(answer | {"done": done}, render.done(f"{file.name} is applied: {words.count(len(done), 'step')}"))


def _planned(out: Output, file: Path, prune: bool) -> Plan:
    from actions import apply as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from core.marked_yaml import WrongFile
    from core.wanted import wanted

    try:
        with out.waiting("comparing"):
            marked, said = wanted(file)
            return actions.plan(LOCAL_ADMINISTRATOR, marked, said, prune=prune)
    except WrongFile as error:
        raise WrongUsage(error.message, hint=error.hint) from None


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise WrongUsage("nothing was changed: there is no terminal to ask on", hint="say it with --yes")
    typer.confirm("Do this?", abort=True, err=True)


def _shown(planned: Plan) -> list[RenderableType]:
    from rich.text import Text

    lines: list[RenderableType] = []
    for step in planned.steps:
        sign, colour = _SIGNS[step.verb]
        lines.append(Text.assemble((sign, colour), f" {step.verb} {step.shown}"))
        lines += [Text(f"    {one}") for one in step.differences]
    return lines


def _summary(planned: Plan) -> RenderableType:
    from cli import render

    verbs = [step.verb for step in planned.steps]
    told = ", ".join(f"{verbs.count(verb)} to {verb}" for verb in _SIGNS if verb in verbs)
    return render.note(f"{told}; {_agree(planned.unchanged)}")


def _agree(unchanged: int) -> str:
    return f"{unchanged} agree already"


def _plain(planned: Plan) -> dict[str, Any]:
    steps = [
        {"verb": one.verb, "kind": one.kind, "name": one.name, "differences": one.differences} for one in planned.steps
    ]
    return {"steps": steps, "unchanged": planned.unchanged}
