"""How a command ends: its exit code, and a sentence for whatever went wrong. No traceback, unless it is asked for.

0 success, 1 failed, 2 wrong usage, 3 some of what was asked is safe and some is not, 130 and 143 ended by Ctrl-C
and by SIGTERM.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TextIO

import typer

from cli.command import is_debugging
from cli.output import Output, WrongUsage, not_written
from core.errors import ConfigurationError, DBackupError, RunFailed, UnexpectedError

FAILED, USAGE, PARTIAL, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
_OF_STREAMS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO})
CANCELLED = "cancelled, nothing half-written was left"


class LeftRunning(DBackupError):
    """Somebody stopped watching what goes on elsewhere, by Ctrl-C or SIGTERM, whose exit code this is."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def exit_code(out: Output, call: Callable[[], object]) -> int:
    """Call, and give the exit code; the call's own when it gives one. Raises nothing."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        _never_fail(stream)
    try:
        code = call()
    except typer.TyperException as error:
        return _wrong_usage(out, error)
    except DBackupError as error:
        return _failed(out, error)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except SystemExit as error:
        code = error.code
    except UnicodeEncodeError as error:
        return _failed(out, _not_text(error))
    except OSError as error:  # those of the program's own work are translated where they arise
        own = error.filename is None and error.errno in _OF_STREAMS
        return _failed(out, not_written(error) if own else _unexpected(error))
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is becomes a sentence
        return _failed(out, _unexpected(error))
    if code in (INTERRUPTED, TERMINATED):
        out.failure(RunFailed(CANCELLED))
    return code if isinstance(code, int) else 0


def opened_streams() -> None:
    """Give the program a standard output and error, also when it was started with them closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open for the life of the process


def flushed(code: int) -> int:
    """The exit code once everything is written. What standard output has refused is dropped, or Python would retry."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or FAILED
    return code


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)  # so that everything on its way cleans up behind itself


def _never_fail(stream: TextIO) -> None:
    """Write what the terminal's encoding cannot say as an escape, instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _wrong_usage(out: Output, error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if context and error.format_message() == context.get_help():  # nothing was asked for: that is no mistake
        from cli import render

        out.note(render.plain(context.get_help()))
        return USAGE
    path = context.command_path if context else "dbackup"
    out.failure(WrongUsage(error.format_message(), hint=f"see: {path} --help"))
    return USAGE


def _failed(out: Output, error: DBackupError) -> int:
    report = error.report if isinstance(error, RunFailed) else None
    if report is None:
        out.failure(error)
        return _code(error)
    from cli import render
    from core.states import RunState

    for one in report.failures:
        out.note(render.failure(one, report.state))
    out.failure(error, shown=True)
    return PARTIAL if report.state is RunState.PARTIAL else FAILED


def _code(error: DBackupError) -> int:
    if isinstance(error, LeftRunning):
        return error.code
    return USAGE if isinstance(error, WrongUsage) else FAILED


def _not_text(error: UnicodeEncodeError) -> DBackupError:
    return ConfigurationError(
        f"an argument or a name is not text in {error.encoding}", hint="only paths may hold such bytes"
    )


def _unexpected(error: Exception) -> UnexpectedError:
    """What an error becomes that nobody foresaw. Its trace is shown only to who debugs."""
    from core.masking import mask

    if is_debugging():
        sys.stderr.write(mask(traceback.format_exc()))
    first, _, _ = str(error).partition("\n")
    return UnexpectedError(
        f"unexpected {type(error).__name__}: {first}".rstrip(": "),
        hint="this is a fault of the program; --debug shows its trace",
    )
