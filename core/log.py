"""The one logger: structured lines with context, through the standard library, so that Prefect records them too.

``log = logger(service="backup")`` gives a child; ``log.info("dump finished", database="shop", size=123)`` is an
event with values. Values are masked before anything is written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from core.masking import mask

NAME = "dbackup"  # the root of our loggers; Prefect copies its lines into the run


def logger(**context: Any) -> structlog.stdlib.BoundLogger:
    """A logger whose every line carries ``context``."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(NAME).bind(**context)
    return bound


def _masked(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: mask(value) if isinstance(value, str) else value for key, value in event.items()}


def _rendered(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """``event  key=value key=value``: readable in a terminal and in the Prefect UI, and still easy to parse."""
    message = str(event.pop("event"))
    values = " ".join(f"{key}={_value(value)}" for key, value in event.items())
    return mask(f"{message}  {values}" if values else message)


def _value(value: Any) -> str:
    text = str(value)
    return repr(text) if not text or any(character.isspace() for character in text) else text


def configure(level: str, *, to_terminal: bool = True) -> None:
    """Set up the logger for a process; lines go to standard error when ``to_terminal``."""
    root = logging.getLogger(NAME)
    root.setLevel(level.upper())
    root.propagate = False
    root.handlers = [handler for handler in root.handlers if not getattr(handler, "_dbackup", False)]
    if to_terminal:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
        handler._dbackup = True  # type: ignore[attr-defined]
        root.addHandler(handler)


structlog.configure(
    processors=[structlog.stdlib.filter_by_level, structlog.contextvars.merge_contextvars, _masked, _rendered],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
