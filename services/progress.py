"""How far a run is, for whoever watches it in the same process.

A step announces itself and reports its bytes; watchers, when there are some, draw them. They travel in a
context variable, which the threads of a run inherit, so that no function has to hand it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Watcher(Protocol):
    """Draws steps. Called from several threads."""

    def started(self, step: str, total: int | None) -> None:
        """A step begins; ``total`` is how many bytes are expected, where that is known."""

    def advanced(self, step: str, size: int) -> None:
        """``size`` more bytes of the step are done."""

    def ended(self, step: str, *, good: bool) -> None:
        """The step is over."""


_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Within this context, every step reports to this watcher, too."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


@contextmanager
def step(name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Announce a step and give the function that reports its bytes."""
    watchers = _watchers.get()

    def advance(size: int) -> None:
        for watcher in watchers:
            watcher.advanced(name, size)

    for watcher in watchers:
        watcher.started(name, total)
    good = False
    try:
        yield advance
        good = True
    finally:
        for watcher in watchers:
            watcher.ended(name, good=good)
