"""A preview is what Prefect's server plans, and clocks that change make nothing run twice and skip nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule as Planner

from core.errors import ConfigurationError
from deployments.schedules import PREVIEW, cron_schedule, last_time, next_times

NIGHTS = [
    ("Europe/Berlin", datetime(2027, 3, 28), 23),
    ("Europe/Berlin", datetime(2027, 10, 31), 25),
    ("America/New_York", datetime(2027, 3, 14), 23),
    ("America/New_York", datetime(2027, 11, 7), 25),
]


@cache
def planned(cron: str, zone: str, start: datetime, hours: int) -> list[datetime]:
    """What a server plans that makes its plan anew every ten minutes of the night, the worst that it can do.

    It never plans a time twice: its runs are known by their time as it is written.
    """
    planner, plan = Planner(cron=cron, timezone=zone), dict[str, datetime]()
    for minute in range(-60, 5 * 60, 10):
        now = start + timedelta(minutes=minute)
        for at in asyncio.run(planner.get_dates(n=9 if minute < 290 else 200, start=now)):
            plan.setdefault(str(at), at.astimezone(UTC))
    return sorted(at for at in plan.values() if start <= at < start + timedelta(hours=hours))


@pytest.mark.parametrize(("zone", "day", "hours"), NIGHTS)
def test_a_nightly_job_runs_once_in_the_night_that_clocks_change(zone: str, day: datetime, hours: int) -> None:
    midnight = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    plan = planned("30 2 * * *", zone, midnight, hours + 24)
    days = Counter(at.astimezone(ZoneInfo(zone)).date() for at in plan)
    assert days == {day.date(): 1, (day + timedelta(days=1)).date(): 1}


@pytest.mark.parametrize(("zone", "day", "hours"), NIGHTS)
@pytest.mark.parametrize(("cron", "step"), [("0 * * * *", 60), ("*/15 * * * *", 15)])
def test_an_hourly_job_runs_once_for_each_time_that_the_clock_shows(
    zone: str, day: datetime, hours: int, cron: str, step: int
) -> None:
    midnight = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    plan = planned(cron, zone, midnight, hours)
    shown = [f"{at.astimezone(ZoneInfo(zone)):%H:%M}" for at in plan]
    assert len(set(shown)) == len(shown), "nothing runs twice"
    instants = [midnight + timedelta(minutes=minute) for minute in range(0, hours * 60, step)]
    assert set(shown) == {f"{at.astimezone(ZoneInfo(zone)):%H:%M}" for at in instants}, "nothing is skipped"
    assert max(later - earlier for earlier, later in pairwise(plan)) <= timedelta(minutes=60 + step)


@pytest.mark.parametrize(("zone", "day", "hours"), NIGHTS)
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 * * * *", "*/15 * * * *"])
def test_the_preview_is_what_will_be_planned(zone: str, day: datetime, hours: int, cron: str) -> None:
    midnight = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    everything = planned(cron, zone, midnight, hours + 24 * PREVIEW)
    for minute in (0, 25, 55, 85, 115, 145, 175, 205):
        now = midnight + timedelta(minutes=minute)
        preview = next_times(cron_schedule(cron, zone), now)
        assert [at.astimezone(UTC) for at in preview] == [at for at in everything if at >= now][:PREVIEW]
        assert {at.tzinfo for at in preview} == {ZoneInfo(zone)}


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        ("61 * * * *", "UTC", "Prefect cannot read it"),
        ("nightly", "UTC", "Prefect cannot read it"),
        ("H * * * *", "UTC", "Prefect cannot read it"),
        ("0 3 * *", "UTC", "has not five fields"),
        ("0 0 3 * * *", "UTC", "has not five fields"),
        ("0 3 30 2 *", "UTC", "never comes"),
        ("0 3 * * *", "Europe/Mars", "is not the name of a time zone"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_a_sentence(cron: str, zone: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        cron_schedule(cron, zone)
    assert caught.value.hint


@pytest.mark.parametrize("days", [0.5, 3, 40, 400])
def test_the_last_time_is_found_however_long_ago_it_was(days: float) -> None:
    until = datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)
    since = until - timedelta(days=days)
    assert last_time(cron_schedule("0 12 * * *", "UTC"), since, until) == until.replace(second=0)
    yearly = last_time(cron_schedule("0 0 1 1 *", "UTC"), since, until)
    assert yearly == (datetime(2026, 1, 1, tzinfo=UTC) if days == 400 else None)
