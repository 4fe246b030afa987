"""The ``dbackup`` command and what it consists of."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from cli import (
    apply,
    audit,
    backups,
    cleaning,
    doctor,
    download,
    groups,
    history,
    integrity,
    jobs,
    keys,
    metrics,
    runs,
    saved,
    sso,
    tokens,
    up,
    users,
)
from cli.exits import exit_code, flushed, opened_streams
from cli.output import Output

GROUPS = {
    "source": saved.sources,
    "storage": saved.storages,
    "job": jobs.jobs,
    "run": history.runs,
    "notification": saved.notifications,
    "key": keys.keys,
    "integrity": integrity.integrity,
    "user": users.users,
    "group": groups.groups,
    "sso": sso.sso,
    "token": tokens.tokens,
    "catalog": backups.catalog,
}

COLLECT_AFTER = 50_000  # new objects; after the usual 700, a tenth of a command's time goes into looking at its modules

app = typer.Typer(
    help="Database backups that are proven: streamed, encrypted, checked and restored.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # what it imports takes longer than everything else that help needs
    context_settings={"help_option_names": ["--help", "-h"]},
)
for part in (
    runs.app,
    backups.app,
    download.app,
    cleaning.app,
    apply.app,
    up.app,
    audit.app,
    doctor.app,
    metrics.app,
):
    app.add_typer(part)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dbackup {version('dbackup')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@cache
def _command() -> Callable[..., object]:
    """The tree of all commands, which takes a tenth of a second to build: once for whoever calls more than once."""
    return get_command(app)


def main() -> NoReturn:
    """The entry point."""
    gc.set_threshold(COLLECT_AFTER)
    arguments = sys.argv[1:]
    out = Output(as_json="--json" in arguments)
    opened_streams()
    sys.exit(flushed(exit_code(out, lambda: _command()(arguments, prog_name="dbackup", standalone_mode=False))))
