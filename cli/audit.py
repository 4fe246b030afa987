"""``dbackup audit``: who did what, when, from where, and with what result."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli import words
from cli.command import command
from cli.options import Limit
from cli.output import Output, WrongUsage

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from db.audit import Entry

app = typer.Typer()
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@command(app)
def audit(
    out: Output,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="A date, a moment, or so long ago: 30m, 12h, 7d, 2w.")
    ] = "",
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Only what they did.")] = "",
    action: Annotated[
        str, typer.Option("--action", metavar="ACTION", help="Only what begins so: login, users., runs.restore.")
    ] = "",
    limit: Limit = 50,
) -> None:
    """Show who did what, the newest first."""
    from actions import audit as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from db.audit import Wanted

    wanted = Wanted(_moment(since) if since else None, user, action)
    found = actions.entries(LOCAL_ADMINISTRATOR, wanted, limit=limit + 1)
    out.answer({"entries": found[:limit], "more": len(found) > limit}, _listed(list(found[:limit])))
    if len(found) > limit:
        out.note(f"there are more than {limit}: narrow it, or raise --limit")


def _moment(text: str) -> datetime:
    """A moment, in the local time zone unless it names one. Raises WrongUsage."""
    try:
        if text[-1] in _UNITS:
            return datetime.now().astimezone() - timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise WrongUsage(f"{text} is no moment", hint="write 2026-03-01, 2026-03-01T12:00, or 12h, 7d, 2w") from None


def _listed(found: list[Entry]) -> RenderableType:
    from cli import render

    rows = [(words.moment(one.moment), _whence(one), f"{one.action} {one.target}", _result(one)) for one in found]
    headings = ("When", "Who", "What", "Result")
    return render.table(headings, rows, whole=("When",)) if rows else render.note("nothing of that has happened")


def _whence(entry: Entry) -> str:
    return f"{entry.who} ({entry.origin})" if entry.origin not in ("", "command line") else entry.who


def _result(entry: Entry) -> Text:
    from rich.text import Text

    return Text(f"{entry.result}: {entry.reason}".removesuffix(": "), "" if entry.result == "done" else "red")
