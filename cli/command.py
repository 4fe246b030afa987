"""What every command has: the options ``--json``, ``--verbose`` and ``--debug``, an output, and quiet libraries.

A command is a function whose first parameter is its :class:`Output`; the others are its options. Modules of commands
import nothing heavy at their top, so that help answers at once.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")

LOG_LEVEL = "DBACKUP_LOG_LEVEL"
_PREFECT_CONSOLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"  # of Prefect's terminal only: its API gets every line
_SIGNS = {"WARNING": ("!", "yellow"), "ERROR": ("✗", "red"), "CRITICAL": ("✗", "red")}

_COMMON = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Show what is done, line by line.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show everything, with the trace of an error.")],
}


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[Concatenate[Output, P], None]], Callable[..., None]]:
    """Make a function a command of ``app``, named as the function or by ``name``."""

    def decorate(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*, as_json: bool, verbose: bool, debug: bool, **options: Any) -> None:
            out = Output(as_json=as_json)
            listen(out.notes, verbose=verbose, debug=debug)
            function(out, **options)  # type: ignore[call-arg]

        signature = _with_common_options(function)
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        del call.__wrapped__
        app.command(name)(call)
        return call

    return decorate


def _with_common_options(function: Callable[..., None]) -> inspect.Signature:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in _COMMON.items()
    ]
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    return inspect.Signature([*keywords, *common], return_annotation=None)


def is_debugging() -> bool:
    """Whether traces are wanted."""
    return os.environ.get(LOG_LEVEL, "").lower() == "debug"


def listen(console: Console, *, verbose: bool = False, debug: bool = False) -> None:
    """Show log lines: warnings, or all with ``verbose``. Libraries are quiet unless it is ``debug``.

    Call it before anything imports Prefect.
    """
    from core.log import NAME, configure
    from core.settings import settings

    if debug:
        os.environ[LOG_LEVEL] = "debug"
    if not is_debugging():
        os.environ.setdefault(_PREFECT_CONSOLE, "CRITICAL")
        warnings.simplefilter("ignore")
    current = settings()
    wanted = "info" if verbose else current.log_level if "log_level" in current.model_fields_set else "warning"
    configure("debug" if is_debugging() else "info", to_terminal=False)
    lines = Lines(console)
    lines.setLevel("DEBUG" if is_debugging() else wanted.upper())
    logging.getLogger(NAME).addHandler(lines)


class Lines(logging.Handler):
    """Log lines on a console that may be drawing progress bars at the same time."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        from rich.text import Text

        from cli.render import problem

        sign = Text(*_SIGNS.get(record.levelname, ("·", "dim")))
        self._console.print(problem(self.format(record), "", sign))
