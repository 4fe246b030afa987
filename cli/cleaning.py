"""``dbackup clean``: what killed runs have left, on a destination and on the servers of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import addresses, words
from cli.command import command
from cli.exits import PARTIAL
from cli.options import Yes
from cli.output import Output, WrongUsage

if TYPE_CHECKING:
    from rich.console import RenderableType

    from core.jobs import Address
    from services.janitor import Judged

app = typer.Typer()


@command(app)
def clean(
    out: Output,
    at: Annotated[
        str | None, typer.Option("--at", metavar="DEST", help="Clean this destination.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="SOURCE", help="Look at this server. Can be repeated.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Yes = False,
) -> None:
    """Remove what killed runs left on a destination, and databases that killed restores left on servers.

    A destination is cleaned of what is older than a day. Databases are only listed; with --yes those are
    removed that surely nobody needs. Without --at and --source, every saved source is looked at.
    """
    if at and source:
        raise WrongUsage("a destination and sources are cleaned one after the other", hint="give --at or --source")
    if at:
        _clean_storage(out, at, dry_run=dry_run)
    else:
        _clean_sources(out, source, remove=yes and not dry_run)


def _clean_storage(out: Output, at: str, *, dry_run: bool) -> None:
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        found = backups.clean(LOCAL_ADMINISTRATOR, addresses.storage(at), dry_run=dry_run)
        foreign, size = backups.foreign(LOCAL_ADMINISTRATOR, addresses.storage(at))
    rows = [(one.key, words.size(one.size), one.what) for one in found]
    told = f"{words.count(len(found), 'leftover')} {'would be removed' if dry_run else 'removed'}"
    shown: list[RenderableType] = [render.table(("What", "Size", "Which is"), rows, figures=("Size",))] if rows else []
    strange = f"{words.count(foreign, 'object')} there ({words.size(size)}) of no backup: left alone"
    shown += [render.done(told), *([render.note(strange)] if foreign else [])]
    out.answer({"leftovers": found, "removed": not dry_run, "foreign": {"objects": foreign, "bytes": size}}, *shown)


def _clean_sources(out: Output, typed: list[str] | None, *, remove: bool) -> None:
    """Say of each source what there is, and remove it. The exit code is 3 when a source could not be asked."""
    from cli import render

    answers: list[dict[str, Any]] = []
    shown: list[RenderableType] = []
    for where in _sources(typed):
        with out.waiting(f"looking at {where.shown}"):
            answer, lines = _cleaned(where, remove=remove)
        answers.append(answer)
        shown += lines
    out.answer({"sources": answers}, *(shown or [render.note("no source is saved, so there is nothing to look at")]))
    if any(one["problem"] for one in answers):
        raise typer.Exit(PARTIAL)


def _cleaned(where: Address, *, remove: bool) -> tuple[dict[str, Any], list[RenderableType]]:
    """One source: the answer for scripts, and what people see."""
    from actions import unfinished
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.errors import DBackupError

    name = where.shown
    try:
        seen = unfinished.found(LOCAL_ADMINISTRATOR, where)
        idle = [one.database.name for one in seen.databases if not one.stays]
        fate = unfinished.remove(LOCAL_ADMINISTRATOR, where, idle) if remove and idle else {}
    except DBackupError as error:
        problem = render.problem(f"{name}: {error.message}", error.hint)
        return {"source": name, "databases": [], "problem": error.message}, [problem]
    name = f"{name} ({seen.server})" if where.is_name else seen.server
    databases = [_answer(one, fate) for one in seen.databases]
    lines = [_told(one) for one in databases]
    if idle and not remove:
        how = f"with: dbackup clean --source {where.shown} --yes" if where.is_name else "by the same command with --yes"
        lines.append(render.note(f"remove what may be removed {how}"))
    first = render.plain(f"{name}:") if databases else render.done(f"{name}: no restore has left a database")
    return {"source": where.shown, "databases": databases, "problem": ""}, [first, *lines]


def _answer(one: Judged, fate: dict[str, str]) -> dict[str, Any]:
    name, mark = one.database.name, one.database.mark
    return {
        "name": name,
        "size": one.database.size,
        "what": one.database.meaning,
        "target": mark.target if mark else None,
        "begun": mark.begun if mark else None,
        "run": mark.run or None if mark else None,
        "removed": fate.get(name) == "",
        "stays": one.stays or fate.get(name, ""),
    }


def _told(one: dict[str, Any]) -> RenderableType:
    from cli import render

    size = words.size(one["size"]) if one["size"] is not None else "size unknown"
    begun = [f"begun {words.moment(one['begun'])}"] if one["begun"] else []
    run = [f"run {one['run']}"] if one["run"] else []
    text = f"{one['name']}: {', '.join([size, one['what'], *begun, *run])}"
    if one["removed"]:
        return render.done(f"{text}; removed")
    return render.problem(text, f"stays: {one['stays']}" if one["stays"] else "may be removed", render.DOUBTFUL)


def _sources(typed: list[str] | None) -> list[Address]:
    """Those that were named, or every saved one."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from core.jobs import Address

    if typed:
        return [addresses.source(one) for one in typed]
    return [Address(one.name) for one in saved.sources(LOCAL_ADMINISTRATOR)]
