"""What is told to people: one message, the same for every channel.

A channel shows :attr:`Notification.title`, :attr:`Notification.facts` and :attr:`Notification.text` in its own way.
All three are masked, and hold no control characters but the line feeds of ``text``: a name or the words of a server
cannot become a header, a command of the terminal, or a second line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.events import Event
from core.masking import mask
from core.reports import Failure
from core.states import RunState
from core.words import duration, size

_OUTCOMES = {
    Event.STARTED: "has started",
    Event.SUCCESS: "succeeded",
    Event.RESTORED: "succeeded",
    Event.PARTIAL: "is partial",
    Event.FAILURE: "failed",
    Event.INTEGRITY: "failed",
    Event.RECOVERED: "is well again",
    Event.TEST: "works",
}
SHOWN_FAILURES = 5  # further ones are counted
LONGEST_LINE = 1_000  # characters: whoever needs more reads the log of the run


@dataclass(frozen=True)
class Place:
    """One destination of a backup, or one restored database, and what became of it."""

    name: str
    good: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{'✓' if self.good else '✗'} {self.name}{f', {self.detail}' if self.detail else ''}"


@dataclass(frozen=True)
class Fact:
    """A line of a message: what it tells, and its value, without control characters."""

    name: str
    value: str


@dataclass(frozen=True)
class Notification:
    """What happened. ``subject`` is what it happened to, for example ``Backup of shop``.

    Sizes are in bytes: ``dump_size`` as the tools produced it, ``size`` as stored. ``seconds`` is how long the run
    took; for ``OVERDUE``, how long ago the last good backup was, None when there is none. ``also_wrong`` changes
    nothing of the outcome, and somebody has to look at it.
    """

    event: Event
    subject: str
    job: str = ""
    source: str = ""
    state: RunState | None = None
    backup_id: str = ""
    dump_size: int | None = None
    size: int | None = None
    seconds: float | None = None
    places: tuple[Place, ...] = ()
    failures: tuple[Failure, ...] = ()
    also_wrong: tuple[Failure, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def title(self) -> str:
        """The message in one line, for example ``Backup of shop failed``."""
        return _line(f"{self.subject} {self._outcome()}{', but something else is wrong' if self._marred else ''}")

    @property
    def _marred(self) -> bool:
        return self.event.is_good and bool(self.also_wrong)

    def concerns(self, events: Collection[Event]) -> bool:
        """Whether it is for somebody who wants to hear of these events. Who hears of partial runs or of failures hears
        also of a success with something else wrong: it would go unnoticed for as long as backups succeed."""
        return self.event in events or (self._marred and not {Event.PARTIAL, Event.FAILURE}.isdisjoint(events))

    def _outcome(self) -> str:
        if self.event is Event.OVERDUE:
            return f"is overdue: no good one {'yet' if self.seconds is None else f'for {duration(self.seconds)}'}"
        return _OUTCOMES[self.event]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Everything that is known, the most important first."""
        found = [
            ("Status", self.state.value if self.state else ""),
            *(("Reason", str(failure)) for failure in self.failures[:SHOWN_FAILURES]),
            ("And", _further(self.failures)),
            *(("Also wrong", str(failure)) for failure in self.also_wrong[:SHOWN_FAILURES]),
            ("And", _further(self.also_wrong)),
            ("What to do", " · ".join(self._hints())),
            ("Job", self.job),
            ("Source", self.source),
            ("Backup", self.backup_id),
            ("Size", self._sizes()),
            ("Duration", self._duration()),
            *(("Where", str(place)) for place in self.places),
            ("When", self.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ]
        return tuple(Fact(name, line) for name, value in found if (line := _line(value)))

    def _hints(self) -> list[str]:
        shown = (*self.failures[:SHOWN_FAILURES], *self.also_wrong[:SHOWN_FAILURES])
        return list(dict.fromkeys(failure.hint for failure in shown if failure.hint))

    def _duration(self) -> str:
        if self.seconds is None or self.event is Event.OVERDUE:  # there the title tells it
            return ""
        return duration(self.seconds)

    def _sizes(self) -> str:
        if not self.dump_size or self.size is None:
            return ""
        return f"{size(self.dump_size)} dumped, {size(self.size)} stored"

    @property
    def text(self) -> str:
        """The facts as plain text, a line each."""
        return "\n".join(f"{fact.name}: {fact.value}" for fact in self.facts)


def _further(failures: Sequence[Failure]) -> str:
    hidden = len(failures) - SHOWN_FAILURES
    return f"{hidden} more; the log of the run has all of them" if hidden > 0 else ""


def _line(text: str) -> str:
    """One masked line: whatever could break it or hide in it becomes a space."""
    shown = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in mask(text))
    line = " ".join(shown.split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
