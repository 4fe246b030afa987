"""The log lines of libraries that write down addresses, which here are secrets.

While a message is on its way, what they write in that thread goes nowhere; the warnings among it are given to who
asked. Other threads, which may use the same libraries for something else, are left alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed(*names: str) -> Iterator[list[str]]:
    """Hold back the lines that this thread writes to these loggers; gives the list that warnings are added to."""
    hush = _Hush()
    for name in names:
        logging.getLogger(name).addFilter(hush)
    try:
        yield hush.warnings
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(hush)


class _Hush(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.warnings: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.warnings.append(record.getMessage())
        return False
