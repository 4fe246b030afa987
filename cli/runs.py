"""``dbackup backup``, ``verify`` and ``restore``: the runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli import addresses
from cli.command import command
from cli.options import At, Reference
from cli.output import Output, WrongUsage
from cli.passwords import Asked, FromStdin, Password
from cli.specs import compression as parsed
from cli.specs import names, specified

if TYPE_CHECKING:
    from rich.console import RenderableType

    from core.jobs import JobSpec
    from core.reports import BackupReport

R = TypeVar("R")

Many = list[str]

app = typer.Typer()


def _filter(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", metavar="PATTERN", help=what, rich_help_panel="What to dump", show_default=False)


@command(app)
def backup(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    *,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A saved name, a URL, or the path of an SQLite file.")
    ],
    to: Annotated[
        Many, typer.Option("--to", metavar="DEST", help="Where to: a saved name, a URL or a path. Can be repeated.")
    ],
    databases: Annotated[
        Many | None,
        typer.Option(metavar="A,B", help="Only these databases.", rich_help_panel="What to dump", show_default=False),
    ] = None,
    exclude: Annotated[Many | None, _filter("exclude", "Not the databases like this.")] = None,
    schema: Annotated[Many | None, _filter("schema", "Only these schemas.")] = None,
    exclude_schema: Annotated[Many | None, _filter("exclude-schema", "Not these schemas.")] = None,
    table: Annotated[Many | None, _filter("table", "Only these tables.")] = None,
    exclude_table: Annotated[Many | None, _filter("exclude-table", "Not these tables.")] = None,
    exact_rows: Annotated[
        int, typer.Option(metavar="N", help="Count tables of up to N rows exactly.", rich_help_panel="What to dump")
    ] = 1_000_000,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encrypt with this profile.", show_default=False)
    ] = None,
    compression: Annotated[
        str, typer.Option(metavar="ALGORITHM[:LEVEL]", help="zstd (1 to 19), gzip (1 to 9) or none.")
    ] = "zstd:3",
    name: Annotated[
        str, typer.Option(metavar="JOB", help="What to call it in lists; normally the source.", show_default=False)
    ] = "",
    retries: Annotated[int, typer.Option(metavar="N", help="How often to try a failed upload again.")] = 3,
    spool: Annotated[str, typer.Option(metavar="disk|memory", help="Where bytes wait for slow destinations.")] = "disk",
    password_stdin: FromStdin = False,
    ask_password: Asked = False,
) -> None:
    """Back up a database: dump, compress, encrypt, store, read back."""
    from core.jobs import JobSpec

    spec = specified(
        JobSpec,
        source=Password(password_stdin, ask_password).into(addresses.source(source)),
        destinations=tuple(map(addresses.storage, to)),
        name=name,
        databases=names(databases or ()),
        exclude=tuple(exclude or ()),
        schemas=tuple(schema or ()),
        exclude_schemas=tuple(exclude_schema or ()),
        tables=tuple(table or ()),
        exclude_tables=tuple(exclude_table or ()),
        profile=profile,
        compression=parsed(compression),
        exact_rows=exact_rows,
        retries=retries,
        spool=spool,
    )
    _back_up(out, spec)


def _back_up(out: Output, spec: JobSpec) -> None:
    from actions import runs
    from actions.door import LOCAL_ADMINISTRATOR

    _run(out, lambda: runs.back_up(LOCAL_ADMINISTRATOR, spec), lambda report: _told(report, spec))


def _told(report: BackupReport, spec: JobSpec) -> list[RenderableType]:
    """The result of a backup, and how to restore it."""
    from cli import render

    if not any(copy.complete for copy in report.copies):
        return [render.backup(report)]
    encrypted = f"encrypted with profile {spec.profile}" if spec.profile else "not encrypted; add --profile NAME"
    way_back = render.command(_way_back(report, spec))
    return [render.backup(report), render.note(f"  {encrypted}"), render.note("  restore it with:"), way_back]


def _way_back(report: BackupReport, spec: JobSpec) -> str:
    """The command that restores what has just been stored, without any password."""
    at = next(copy.storage for copy in report.copies if copy.complete)
    return f"dbackup restore {report.backup_id} --at {shlex.quote(at)} --into {_somewhere(report, spec)}"


def _somewhere(report: BackupReport, spec: JobSpec) -> str:
    """Where one could restore to without touching anything."""
    named = [file.database for file in report.files if file.kind == "database"]
    if spec.source.startswith("sqlite:"):
        return shlex.quote(f"./{named[0]}-restored.db")
    target = str(spec.source) if spec.source.is_name else "postgresql://USER@HOST"
    return f"{target} --as {shlex.quote(f'{named[0]}_restored')}" if len(named) == 1 else target


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
    wish = specified(IntegritySpec, storages=tuple(map(addresses.storage, at or ())), backup=backup)
    _run(out, lambda: runs.verify(LOCAL_ADMINISTRATOR, wish), lambda report: [render.integrity(report)])


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
        str | None, typer.Option(metavar="NAME", help="Only this database of the backup.", show_default=False)
    ] = None,
    rename: Annotated[
        str | None, typer.Option("--as", metavar="NEWNAME", help="Give it another name.", show_default=False)
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
        database=database,
        rename=rename,
        overwrite=overwrite,
        owner=not no_owner,
        accept_tampered=accept_tampered,
    )
    _run(out, lambda: runs.restore(LOCAL_ADMINISTRATOR, wish), lambda report: [render.restore(report)])


def _run(out: Output, run: Callable[[], R], show: Callable[[R], Iterable[RenderableType]]) -> None:
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
