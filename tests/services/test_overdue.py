"""Who hears that a job is overdue: nobody twice a day, whatever the clock does, and everybody that it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.events import Event
from services.freshness import Freshness
from services.overdue import AGAIN_AFTER, Alarm, due

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATE = Freshness("shop", NOW - timedelta(hours=30), 26, True)
WELL = Freshness("shop", NOW - timedelta(hours=1), 26, False)


def told(found: Freshness, **hours_ago: float) -> list[Alarm]:
    return list(due(found, ("ops", "chat"), {name: NOW - timedelta(hours=h) for name, h in hours_ago.items()}, NOW))


def test_each_channel_that_does_not_know_yet_is_told() -> None:
    assert told(LATE) == [Alarm("ops", Event.OVERDUE), Alarm("chat", Event.OVERDUE)]
    assert told(LATE, ops=1) == [Alarm("chat", Event.OVERDUE)]


def test_a_look_that_is_made_daily_tells_daily_although_it_is_never_quite_on_time() -> None:
    assert told(LATE, ops=23.99, chat=12) == [Alarm("ops", Event.OVERDUE)]
    assert timedelta(hours=22) < AGAIN_AFTER


def test_a_clock_that_was_ahead_silences_nobody() -> None:
    assert told(LATE, ops=-9000, chat=1) == [Alarm("ops", Event.OVERDUE)]


def test_only_who_was_told_of_the_alarm_hears_that_it_is_over() -> None:
    assert told(WELL, chat=30) == [Alarm("chat", Event.RECOVERED)]
    assert told(WELL) == []


@pytest.mark.parametrize("found", [Freshness("shop", None, 26, False), Freshness("shop", NOW, None, False)])
def test_a_job_that_is_merely_not_overdue_is_not_called_well(found: Freshness) -> None:
    assert told(found, ops=30) == []
