"""``dbackup integrity``: whether everything that is stored is checked by itself, and how the last checks ended."""

from __future__ import annotations

import typer

from cli.command import command
from cli.output import Output

integrity = typer.Typer(help="Checks of everything that is stored, by themselves.", no_args_is_help=True)


@command(integrity)
def status(out: Output) -> None:
    """Show how the last checks ended, and when everything is checked by itself."""
    from actions import integrity as checks
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        health, when = checks.health(LOCAL_ADMINISTRATOR), checks.schedule(LOCAL_ADMINISTRATOR)
    active = when is not None and not when.paused
    facts = [
        ("copies", f"{health.copies:,}"),
        ("passed", f"{health.passed:,}"),
        ("failed", f"{health.failed:,}"),
        ("not checked again", f"{health.unchecked:,}"),
        ("by itself", f"{when}" if active else "no; switch it on: dbackup integrity on"),
        *([("next", f"{when.next_times[0]:%Y-%m-%d %H:%M %Z}")] if when and active and when.next_times else []),
    ]
    out.answer({"health": health, "active": active, "schedule": when}, render.facts(facts))


@command(integrity)
def on(out: Output) -> None:
    """Let everything be checked by itself. Reading it back takes time, and at some providers it costs money."""
    _set(out, active=True)


@command(integrity)
def off(out: Output) -> None:
    """Let nothing be checked by itself any longer."""
    _set(out, active=False)


def _set(out: Output, *, active: bool) -> None:
    from actions import integrity as checks
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    checks.set_schedule(LOCAL_ADMINISTRATOR, active=active)
    out.answer({"active": active}, render.done(f"{'everything' if active else 'nothing'} is checked by itself"))
