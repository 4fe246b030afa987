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
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from cli.output import Output

P = ParamSpec("P")

LOG_LEVEL = "DBACKUP_LOG_LEVEL"
_PREFECT_TERMINALS = (  # only its terminal handlers: its API still gets every line
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL",
)
_SIGNS = {"WARNING": ("!", "yellow"), "ERROR": ("✗", "red"), "CRITICAL": ("✗", "red")}

_COMMON = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Show what is done, line by line.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show everything, with the trace of an error.")],
}


def command(
    app: typer.Typer, name: str | None = None, *, takes: Callable[..., Any] | None = None
) -> Callable[[Callable[Concatenate[Output, P], None]], Callable[..., None]]:
    """Make a function a command of ``app``, named as the function or by ``name``.

    Options that several commands have are the parameters of ``takes``; what it makes of them is the function's second
    argument.
    """
    shared = list(inspect.signature(takes, eval_str=True).parameters.values()) if takes else []

    def decorate(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*, as_json: bool, verbose: bool, debug: bool, **options: Any) -> None:
            out = Output(as_json=as_json)
            listen(out, verbose=verbose, debug=debug)
            taken = {one.name: options.pop(one.name) for one in shared}
            function(out, *([takes(**taken)] if takes else []), **options)

        signature = _with_common_options(function, shared)
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        del call.__wrapped__
        app.command(name)(call)
        return call

    return decorate


def _with_common_options(function: Callable[..., None], shared: Sequence[inspect.Parameter]) -> inspect.Signature:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[2 if shared else 1 :]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in _COMMON.items()
    ]
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
    return inspect.Signature([*keywords, *common], return_annotation=None)


def is_debugging() -> bool:
    """Whether traces are wanted."""
    return os.environ.get(LOG_LEVEL, "").lower() == "debug"


def listen(out: Output, *, verbose: bool = False, debug: bool = False) -> None:
    """Show log lines: warnings, or all with ``verbose``. Libraries are quiet unless it is ``debug``.

    Call it before anything imports Prefect.
    """
    from core.log import NAME, configure
    from core.settings import settings

    if debug:
        os.environ[LOG_LEVEL] = "debug"
    if not is_debugging():
        _quieten_libraries()
    current = settings()
    chosen = current.log_level if is_debugging() or "log_level" in current.model_fields_set else None
    configure(chosen or "info", to_terminal=False)
    root = logging.getLogger(NAME)
    root.handlers = [one for one in root.handlers if not isinstance(one, Lines)]
    root.addHandler(Lines(out, "info" if verbose and not is_debugging() else chosen))


def _quieten_libraries() -> None:
    warnings.simplefilter("ignore")
    logging.raiseExceptions = False  # what a library could not log is no news to who runs a command
    logging.getLogger().addHandler(logging.NullHandler())
    for variable in _PREFECT_TERMINALS:
        os.environ.setdefault(variable, "CRITICAL")


class Lines(logging.Handler):
    """Log lines among the notes, where progress bars may be drawn at the same time.

    Without a level only warnings are shown: an error is told when the command ends, in words for people.
    """

    def __init__(self, out: Output, level: str | None) -> None:
        super().__init__((level or "warning").upper())
        self._out = out
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s" if level else "%(message)s", "%H:%M:%S"))
        if level is None:
            self.addFilter(lambda record: record.levelno <= logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        from rich.text import Text

        from cli.render import problem

        sign = Text(*_SIGNS.get(record.levelname, ("·", "dim")))
        self._out.note(problem(self.format(record), "", sign))
