"""The ``dbackup`` command: what it consists of, and how whatever goes wrong is said.

Exit codes: 0 success, 1 failed, 2 wrong usage, 3 some of what was asked is safe and some is not, 130 and 143 ended
by Ctrl-C and by SIGTERM. No traceback, unless it is asked for.
"""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, NoReturn, TextIO

import typer

from cli import backups, doctor, keys, runs, saved
from cli.command import is_debugging
from cli.output import Output, WrongUsage
from core.errors import DBackupError, RunFailed, UnexpectedError

FAILED, USAGE, PARTIAL, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
CANCELLED = "cancelled, nothing half-written was left"

app = typer.Typer(
    name="dbackup",
    help="Database backups that are proven: streamed, encrypted, read back and restored.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for part in (runs.app, backups.app, doctor.app):
    app.add_typer(part)
for group, name in (
    (saved.sources, "source"),
    (saved.storages, "storage"),
    (keys.keys, "key"),
    (backups.catalog, "catalog"),
):
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


def main() -> NoReturn:
    """The entry point."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)  # so that everything on its way cleans up behind itself


def run(arguments: list[str]) -> int:
    """Run one command line, and give its exit code. Never raises an error."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail(stream)
    out = Output(as_json="--json" in arguments)
    try:
        code = app(arguments, prog_name="dbackup", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(out, error)
    except DBackupError as error:
        return _failed(out, error)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except SystemExit as error:
        code = error.code
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is becomes a sentence
        return _failed(out, _unexpected(error))
    if code in (INTERRUPTED, TERMINATED):
        out.failure(RunFailed(CANCELLED))
    return code if isinstance(code, int) else 0


def _never_fail(stream: TextIO) -> None:
    """Write what the terminal's encoding cannot say as an escape, instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _wrong_usage(out: Output, error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "dbackup"
    out.failure(WrongUsage(error.format_message(), hint=f"see: {path} --help"))
    return USAGE


def _failed(out: Output, error: DBackupError) -> int:
    report = error.report if isinstance(error, RunFailed) else None
    if report is None:
        out.failure(error)
        return USAGE if isinstance(error, WrongUsage) else FAILED
    from cli import render
    from core.states import RunState

    for one in report.failures:
        out.note(render.failure(one, report.state))
    out.failure(error, shown=True)
    return PARTIAL if report.state is RunState.PARTIAL else FAILED


def _unexpected(error: Exception) -> UnexpectedError:
    """What an error becomes that nobody foresaw. Its trace is shown only to who debugs."""
    from core.masking import mask

    if is_debugging():
        sys.stderr.write(mask(traceback.format_exc()))
    return UnexpectedError(
        f"unexpected {type(error).__name__}: {error}".rstrip(": "),
        hint="this is a fault of the program; --debug shows its trace",
    )
