"""Whom to tell that a job is overdue, and that it is well again: once, then once a day, however often one looks.

What was told is remembered in the catalog, for each channel by itself: one that could not be told is told at the next
look, and a restart repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.events import Event
from services.freshness import Freshness

AGAIN_AFTER = timedelta(hours=23)  # not 24: a look that is made once a day is never a second too early


@dataclass(frozen=True)
class Alarm:
    """A message that is due: which channel, and of what."""

    channel: str
    event: Event


def due(found: Freshness, channels: Iterable[str], told: Mapping[str, datetime], now: datetime) -> Iterator[Alarm]:
    """What is to be told of a job now. ``channels`` want to hear of it; ``told`` says when each last did."""
    for channel in channels:
        last = told.get(channel)
        if found.overdue:
            # A moment that is yet to come was written by a clock that was ahead.
            if last is None or not timedelta(0) <= now - last < AGAIN_AFTER:
                yield Alarm(channel, Event.OVERDUE)
        elif last is not None and found.last_good and found.overdue_after:
            yield Alarm(channel, Event.RECOVERED)
