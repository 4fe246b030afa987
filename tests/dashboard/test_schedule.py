"""A schedule chosen in words is the cron line it stands for, and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dashboard.components.schedule import CRON, DAILY, HOURLY, MONTHLY, NEVER, WEEKLY, Rhythm

LINES = {
    "": NEVER,
    "5 * * * *": HOURLY,
    "0 3 * * *": DAILY,
    "30 23 * * 6": WEEKLY,
    "0 0 31 * *": MONTHLY,
    "0 3 1 * 1": CRON,
    "* 3 * * *": CRON,
    "*/5 * * * *": CRON,
    "0 24 * * *": CRON,
    "0 3 * * 7": CRON,
    "0 3 32 * *": CRON,
    "@daily": CRON,
}


@pytest.mark.parametrize(("line", "kind"), LINES.items())
def test_a_line_is_said_in_words_where_there_are_some_and_never_changed(line: str, kind: str) -> None:
    assert (Rhythm.of(line).kind, Rhythm.of(line).cron) == (kind, line)


@given(some.sampled_from([HOURLY, DAILY, WEEKLY, MONTHLY]), some.times(), some.integers(1, 31), some.integers(0, 6))
def test_every_choice_is_found_again(kind: str, at: object, day: int, weekday: int) -> None:
    chosen = Rhythm(kind, at, day, weekday)  # type: ignore[arg-type]
    found = Rhythm.of(chosen.cron)
    assert (found.kind, found.cron) == (kind, chosen.cron)
