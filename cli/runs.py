"""``dbackup backup``, ``verify`` and ``restore``: the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli import addresses
from cli.command import command
from cli.options import At, Notify, Reference
from cli.output import Output, WrongUsage
from cli.passwords import Asked, FromStdin, Password
from cli.specs import restored, specified
from cli.way_back import way_back
from cli.wishes import Wish, wishes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from core.jobs import JobSpec
    from core.reports import BackupReport

R = TypeVar("R")

Many = list[str]

app = typer.Typer()


@command(app, takes=wishes)
def backup(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    wish: Wish,
    *,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A saved name, a URL, or the path of an SQLite file.")
    ],
    to: Annotated[
        Many, typer.Option("--to", metavar="DEST", help="Where to: a saved name, a URL or a path. Can be repeated.")
    ],
    name: Annotated[
        str, typer.Option(metavar="JOB", help="What to call it in lists; normally the source.", show_default=False)
    ] = "",
    password_stdin: FromStdin = False,
    ask_password: Asked = False,
) -> None:
    """Back up a database: dump, compress, encrypt, store, prove what is stored."""
    from actions import runs
    from actions.door import LOCAL_ADMINISTRATOR
    from core.jobs import JobSpec

    spec = specified(
        JobSpec,
        source=Password(password_stdin, ask_password).into(addresses.source(source)),
        destinations=tuple(map(addresses.storage, to)),
        name=name,
        **wish,
    )
    back_up(out, spec, lambda: runs.back_up(LOCAL_ADMINISTRATOR, spec))


def back_up(out: Output, spec: JobSpec, run: Callable[[], BackupReport]) -> None:
    """Run a backup with progress bars, and show what came of it."""
    watched(out, run, lambda report: told(report, spec))


def told(report: BackupReport, spec: JobSpec) -> list[RenderableType]:
    """The result of a backup, and how to restore it."""
    from cli import render

    if not any(copy.complete for copy in report.copies):
        return [render.backup(report)]
    encrypted = f"encrypted with profile {spec.profile}" if spec.profile else "not encrypted; add --profile NAME"
    advice = (render.note(f"  {encrypted}"), render.note("  restore it with:"))
    return [render.backup(report), *advice, render.command(way_back(report, spec))]


@command(app)
def verify(
    out: Output,
    backup: Annotated[
        str | None, typer.Argument(metavar="BACKUP", help="An id, latest, or <job>/latest.", show_default=False)
    ] = None,
    at: Annotated[Many | None, typer.Option("--at", metavar="DEST", help="Where it lies.", show_default=False)] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every backup there, or on every saved storage without --at.")
    ] = False,
    notify: Notify = None,
) -> None:
    """Read backups back and compare every byte with what was written."""
    from actions import runs
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import IntegritySpec

    if (backup is None) != every:
        raise WrongUsage("what is to be verified is not clear", hint="name one BACKUP with --at DEST, or use --all")
    if backup and not at:
        raise WrongUsage("where the backup lies is missing", hint="name the destination with --at DEST")
    where = tuple(map(addresses.storage, at or ()))
    wish = specified(IntegritySpec, storages=where, backup=backup, notify=tuple(notify or ()))
    watched(out, lambda: runs.verify(LOCAL_ADMINISTRATOR, wish), lambda report: [render.integrity(report)])


@command(app)
def restore(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    *,
    backup: Reference,
    at: At,
    into: Annotated[
        str, typer.Option("--into", metavar="TARGET", help="A saved source, a URL, or the path of an SQLite file.")
    ],
    database: Annotated[
        Many | None,
        typer.Option(
            metavar="NAME[=NEWNAME]",
            help="Only this database of the backup, under another name if one is given. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    rename: Annotated[
        str | None,
        typer.Option("--as", metavar="NEWNAME", help="Give the one database another name.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take the place of an existing database, once all is proven.")
    ] = False,
    no_owner: Annotated[
        bool, typer.Option("--no-owner", help="Leave owners and grants out; all belongs to who restores.")
    ] = False,
    accept_tampered: Annotated[
        bool, typer.Option("--accept-tampered", help="Restore although the manifest was changed by somebody.")
    ] = False,
    notify: Notify = None,
    password_stdin: FromStdin = False,
    ask_password: Asked = False,
) -> None:
    """Bring databases back: verify, load, compare, put in place."""
    from actions import runs
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import RestoreSpec

    wish = specified(
        RestoreSpec,
        backup=backup,
        storage=addresses.storage(at),
        target=Password(password_stdin, ask_password).into(addresses.source(into)),
        **restored(database or (), rename),
        overwrite=overwrite,
        owner=not no_owner,
        accept_tampered=accept_tampered,
        notify=tuple(notify or ()),
    )
    watched(out, lambda: runs.restore(LOCAL_ADMINISTRATOR, wish), lambda report: [render.restore(report)])


def watched(out: Output, run: Callable[[], R], show: Callable[[R], Iterable[RenderableType]]) -> None:
    """Run with progress bars, and show the report, also that of a run that failed. Raises what the run raises."""
    from cli.watcher import progress
    from core.errors import RunFailed

    try:
        with progress(out.notes):
            report = run()
    except RunFailed as error:
        if error.report is not None and not out.as_json:
            out.answer(None, *show(error.report))
        raise
    out.answer(report, *show(report))
