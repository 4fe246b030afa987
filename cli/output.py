"""What a command says, and where: results on standard output, everything else on standard error.

With ``--json`` standard output gets exactly one JSON object and nothing else. Where standard output is no terminal,
nothing is cut to a width, so that what is piped away is whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from core.errors import ConfigurationError, DBackupError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNCUT = 10_000  # columns


class WrongUsage(ConfigurationError):
    """The command line itself asks for something that cannot be."""


class NotWritten(DBackupError):
    """Standard output does not take the result."""


class Output:
    """Where one command speaks. ``as_json`` is what ``--json`` says."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @cached_property
    def results(self) -> Console:
        """Standard output, for people."""
        return _console(sys.stdout)

    @cached_property
    def notes(self) -> Console:
        """Standard error."""
        return _console(sys.stderr)

    def answer(self, value: Any, *shown: RenderableType) -> None:
        """The result of the command: ``value`` for scripts, or what is ``shown`` for people. Raises NotWritten."""
        with _translated():
            if self.as_json:
                sys.stdout.write(_as_json(value) + "\n")
                sys.stdout.flush()
                return
            for one in shown:
                _print(self.results, one)

    def note(self, text: RenderableType) -> None:
        """Something worth knowing beside the result; where nobody takes it, the command goes on."""
        with suppress(OSError):
            _print(self.notes, text)

    def failure(self, error: DBackupError, *, shown: bool = False) -> None:
        """Say what is wrong and what to do. ``shown`` when people have read it already, as part of a report."""
        from core.masking import mask

        message, hint = mask(error.message), mask(error.hint)
        if self.as_json:
            with suppress(NotWritten):
                self.answer(_report_of(error) | {"error": {"message": message, "hint": hint}})
        if not shown:
            from cli.render import problem

            self.note(problem(message, hint))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal that something takes its time."""
        if not self.notes.is_terminal:
            yield
            return
        with self.notes.status(text, spinner="dots"):
            yield


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise not_written(error) from None


def not_written(error: OSError) -> NotWritten:
    """What it means that standard output refuses bytes."""
    return NotWritten(
        f"the result cannot be written to standard output: {error.strerror}",
        hint="what was asked for may be done all the same; dbackup list shows what there is",
    )


def _print(console: Console, what: RenderableType) -> None:
    """Print, and elsewhere than on a terminal without the blanks that fill up columns."""
    if console.is_terminal:
        console.print(what, soft_wrap=bool(getattr(what, "no_wrap", False)))
        return
    with console.capture() as captured:
        console.print(what)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    console.file.flush()


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _UNCUT
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def _as_json(value: Any) -> str:
    from pydantic_core import to_jsonable_python

    return json.dumps(to_jsonable_python(value), indent=2)


def _report_of(error: DBackupError) -> dict[str, Any]:
    report = getattr(error, "report", None)
    return report.model_dump(mode="json") if report is not None else {}
