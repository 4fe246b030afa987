"""``dbackup list``, ``show``, ``delete``, ``lock``, ``unlock`` and ``catalog rebuild``: what is stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import addresses, words
from cli.command import command
from cli.exits import PARTIAL
from cli.options import At, Reference, Yes
from cli.output import Output, WrongUsage

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from actions.backups import Row, Shown
    from core.jobs import Address
    from core.manifest import Manifest

WIDE = 120  # columns that the whole table takes
_NARROW = ("Backup", "Job", "When", "Size", "Where")

app = typer.Typer()
catalog = typer.Typer(help="The index of backups that this machine keeps.", no_args_is_help=True)


@command(app, "list")
def list_(
    out: Output,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DEST", help="Read from this destination, not the catalog.", show_default=False),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only those of this job.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.", show_default="all")
    ] = None,
) -> None:
    """List backups, newest first."""
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        found = (
            backups.on_storage(LOCAL_ADMINISTRATOR, addresses.storage(at), job=job, limit=limit)
            if at
            else backups.in_catalog(LOCAL_ADMINISTRATOR, job=job, limit=limit)
        )
    nothing = render.note(f"there is no backup of {job}" if job else "there is no backup yet")
    out.answer(
        {"backups": found.rows, "more": found.more}, listed(found.rows, out.results.width) if found.rows else nothing
    )
    if found.more:
        out.note(render.warning(f"only the newest {limit} are listed, there are more: raise or leave out --limit"))


def listed(rows: Sequence[Row], width: int) -> RenderableType:
    """A line for each backup. Where there is no room for every column, the remarks stand below the places."""
    from cli import render

    if width < WIDE:
        lines = [_narrow(_cells(row)) for row in rows]
        return render.table(_NARROW, lines, figures=("Size",), whole=("Backup", "Size"))
    columns = ["Backup", "Job", "Source", "When", "Size", "Profile", "Where", "Remarks"]
    cells = [_cells(row) for row in rows]
    needless = {
        "Source": all(row.source in ("", row.job) for row in rows),
        "Remarks": not any(line[-1] for line in cells),
    }
    kept = [number for number, name in enumerate(columns) if not needless.get(name)]
    lines = [[line[number] for number in kept] for line in cells]
    return render.table(
        [columns[number] for number in kept], lines, figures=("Size",), whole=("Backup", "When", "Size")
    )


def _narrow(cells: list[str | Text]) -> list[str | Text]:
    from rich.text import Text

    backup, job, _, when, size, _, where, remarks = cells
    return [backup, job, when, size, Text("\n").join([Text(str(where)), remarks]) if remarks else where]  # type: ignore[list-item]


def _cells(row: Row) -> list[str | Text]:
    from rich.text import Text

    missing = f"without {', '.join(row.missing)}" if row.missing else ""
    remarks = "; ".join(filter(None, ["pinned" if row.locked else "", missing, row.problem]))
    return [
        row.backup_id,
        row.job,
        row.source,
        words.moment(row.started_at) if row.started_at else "",
        words.size(row.size),
        row.profile or ("" if row.problem else Text("none", "dim")),
        ", ".join(row.storages),
        Text(remarks, "red" if row.problem else "yellow" if row.missing else ""),
    ]


@command(app)
def show(
    out: Output,
    backup: Reference,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DEST", help="Read from this destination, not the catalog.", show_default=False),
    ] = None,
) -> None:
    """Show one backup: what is in it, how it was made, where it lies."""
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = backups.show(LOCAL_ADMINISTRATOR, backup, addresses.storage(at) if at else None)
    shown = () if out.as_json else (about(found), "", _files(found.manifest))
    told = {"storages": found.storages, "locked": found.locked}
    out.answer(found.manifest.model_dump(mode="json") | told, *shown)


def about(shown: Shown) -> RenderableType:
    """What is known of one backup but its files."""
    from cli import render

    manifest = shown.manifest
    source = manifest.source
    seconds = int((manifest.finished_at - manifest.started_at).total_seconds())  # a manifest has no parts of them
    taken = words.duration(seconds) if seconds else "less than 1 s"
    profile = next((file.encryption.profile for file in manifest.files if file.encryption), None)
    return render.facts(
        [
            ("backup", manifest.backup_id),
            ("job", f"{manifest.job.name} ({manifest.trigger})"),
            ("source", f"{source.name}: {source.engine} {source.server_version}, dumped by {source.tool}"),
            ("taken", f"{words.moment(manifest.started_at)}, in {taken}"),
            ("encrypted", f"with profile {profile}" if profile else "no"),
            ("stored on", ", ".join(shown.storages)),
            ("pinned", "yes, so nothing deletes it" if shown.locked else "no"),
            *([("missing", ", ".join(manifest.missing))] if manifest.missing else []),
        ]
    )


def _files(manifest: Manifest) -> RenderableType:
    from cli import render

    rows = []
    for file in manifest.files:
        sizes = words.size(file.dump_size), words.size(file.size)
        rows.append((file.label, *sizes, render.contents(file), file.name))
        rows += [(f"  {name}", "", "", render.counts(held), "") for name, held in file.databases.items()]
    columns = ("Database", "Dump", "Stored", "Contents", "File")
    return render.table(columns, rows, figures=("Dump", "Stored"), whole=("Dump", "Stored"))


@command(app)
def delete(out: Output, backup: Reference, at: At, yes: Yes = False) -> None:
    """Delete a backup from one destination."""
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    where = addresses.storage(at)
    if not yes:
        slug, backup = backups.locate(LOCAL_ADMINISTRATOR, backup, where)
        _ask(f"Delete {backup} in {slug} from {at}? It cannot be brought back.")
    deleted = backups.delete(LOCAL_ADMINISTRATOR, backup, where)
    out.answer({"deleted": deleted}, render.done(f"{deleted} is deleted"))


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise WrongUsage("there is no terminal to ask on whether to delete", hint="say it with --yes")
    typer.confirm(question, abort=True, err=True)


@command(app)
def lock(out: Output, backup: Reference, at: At) -> None:
    """Pin a backup, so that nothing deletes it."""
    _set_lock(out, backup, at, locked=True)


@command(app)
def unlock(out: Output, backup: Reference, at: At) -> None:
    """Take the pin off a backup."""
    _set_lock(out, backup, at, locked=False)


def _set_lock(out: Output, backup: str, at: str, *, locked: bool) -> None:
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    backup_id, changed = backups.set_lock(LOCAL_ADMINISTRATOR, backup, addresses.storage(at), locked=locked)
    state = "pinned" if locked else "not pinned"
    told = f"{backup_id} is {state}{'' if changed else ', as it was before'}"
    out.answer({"backup_id": backup_id, "locked": locked, "changed": changed}, render.done(told))


@command(catalog)
def rebuild(
    out: Output,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="DEST", help="Read these; without it, every saved storage.", show_default=False),
    ] = None,
    accept_tampered: Annotated[
        bool, typer.Option("--accept-tampered", help="Also what may not be genuine: you know who took it.")
    ] = False,
) -> None:
    """Read destinations anew into the catalog.

    The exit code is 3 when a backup could not be read; what was known of it stays.
    """
    from actions import backups
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("reading the destinations"):
        copies, problems = backups.rebuild_catalog(
            LOCAL_ADMINISTRATOR, _destinations(at), accept_tampered=accept_tampered
        )
    told = f"the catalog knows what lies there: {words.count(copies, 'copy', 'copies')}"
    unread = (render.problem(one, "", render.DOUBTFUL) for one in problems)
    out.answer({"copies": copies, "problems": problems}, render.done(told), *unread)
    if problems:  # said above
        raise typer.Exit(PARTIAL)


def _destinations(typed: list[str] | None) -> list[Address]:
    """Those that were named, or every saved one. Raises WrongUsage when there is none."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from core.jobs import Address

    chosen = [*map(addresses.storage, typed or ())] or [
        Address(one.name) for one in saved.storages(LOCAL_ADMINISTRATOR)
    ]
    if not chosen:
        raise WrongUsage("no storage is saved, so there is nothing to read", hint="name a destination with --at DEST")
    return chosen
