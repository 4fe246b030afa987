"""When a job runs by itself. Its times come from the classes that Prefect's server plans runs with, so a preview is
what will happen, also where clocks change.

Prefect goes by what clocks show: a time that the clock repeats comes once, and one that it leaves out comes an hour
earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, NoSchedule, RRuleSchedule
from prefect.server.schemas import schedules as planning
from pydantic import TypeAdapter, ValidationError

from core.errors import ConfigurationError

PREVIEW = 5  # times that are told ahead
_FIELDS = 5
_AT_ONCE = 20  # times asked for, of which some may lie in the past when clocks go forward
_PLANNERS: TypeAdapter[planning.SCHEDULE_TYPES] = TypeAdapter(planning.SCHEDULE_TYPES)
Schedule = CronSchedule | IntervalSchedule | RRuleSchedule
_MOST_RECKONED = 5000
_reckoned: dict[str, tuple[datetime, tuple[datetime, ...]]] = {}  # of a schedule: since when, and its next times


@dataclass(frozen=True)
class Timetable:
    """A job's schedule as it stands. ``cron`` is empty for one that somebody made in Prefect otherwise."""

    cron: str
    timezone: str
    paused: bool
    next_times: tuple[datetime, ...]  # in the schedule's zone; empty while it is paused
    written: str

    def __str__(self) -> str:
        return f"{self.written} ({self.timezone})"


def cron_schedule(cron: str, timezone: str) -> CronSchedule:
    """A schedule that Prefect takes. Raises ConfigurationError for a cron line or a zone that there is not."""
    fields = cron.split()
    if len(fields) > 1 and len(fields) != _FIELDS:  # Prefect would take six, down to the second
        raise _no_cron(cron, "it has not five fields")
    try:
        schedule = CronSchedule(cron=" ".join(fields), timezone=timezone)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("cron",):
            raise _no_cron(cron, "Prefect cannot read it") from None
        raise ConfigurationError(
            f"{timezone!r} is not the name of a time zone", hint="write for example Europe/Berlin"
        ) from None
    if not next_times(schedule, datetime.now(UTC), count=1):
        raise _no_cron(cron, "it never comes")
    return schedule


def _no_cron(cron: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the schedule {cron!r} cannot be used: {reason}",
        hint='write minute, hour, day, month and weekday: "0 3 * * *" is daily at three',
    )


def next_times(schedule: Schedule, after: datetime, *, count: int = PREVIEW) -> tuple[datetime, ...]:
    """The next times from a moment on, in the schedule's own zone. Nothing when there is none in sight."""
    planner = _planner(schedule)
    try:
        found = asyncio.run(planner.get_dates(n=count + _AT_ONCE, start=after))
    except ValueError:  # the cron library's word for a date like 30 February
        return ()
    zone = ZoneInfo(schedule.timezone or "UTC")
    moments = sorted({one.timestamp() for one in found if one.timestamp() >= after.timestamp()})
    return tuple(datetime.fromtimestamp(one, zone) for one in moments)[:count]


def upcoming(schedule: Schedule, now: datetime) -> tuple[datetime, ...]:
    """The next times from now on, as :func:`next_times`; reckoned once until the first of them has come."""
    written = schedule.model_dump_json()
    since, known = _reckoned.get(written, (now, ()))
    if known and since <= now <= known[0]:
        return known
    if len(_reckoned) >= _MOST_RECKONED:
        _reckoned.clear()
    found = next_times(schedule, now)
    _reckoned[written] = (now, found)
    return found


def last_time(schedule: Schedule, since: datetime, until: datetime) -> datetime | None:
    """The newest time between two moments, or None. Looks back in steps that grow, for outages may be long."""
    planner, span = _planner(schedule), timedelta(hours=2)
    while True:
        start = max(since, until - span)
        try:
            moments = [one.timestamp() for one in asyncio.run(planner.get_dates(start=start, end=until))]
        except ValueError:
            return None
        found = [one for one in moments if start.timestamp() <= one <= until.timestamp()]
        if found or start == since:
            return datetime.fromtimestamp(max(found), UTC) if found else None
        span *= 4


def _planner(schedule: Schedule) -> planning.SCHEDULE_TYPES:
    return _PLANNERS.validate_python(schedule.model_dump(mode="json"))


def timetable(schedules: Sequence[DeploymentSchedule], *, paused: bool, now: datetime) -> Timetable | None:
    """What is said of a deployment's schedule; None when it has none. Of several, the active ones count."""
    everything = [(one.schedule, one.active) for one in schedules if not isinstance(one.schedule, NoSchedule)]
    if not everything:
        return None
    active = [] if paused else [schedule for schedule, is_active in everything if is_active]
    shown = active or [schedule for schedule, _ in everything]
    return Timetable(
        cron=shown[0].cron if isinstance(shown[0], CronSchedule) and len(shown) == 1 else "",
        timezone=shown[0].timezone or "UTC",
        paused=not active,
        next_times=tuple(sorted({at for one in active for at in upcoming(one, now)})[:PREVIEW]),
        written=", ".join(map(_written, shown)),
    )


def _written(schedule: Schedule) -> str:
    match schedule:
        case CronSchedule():
            return schedule.cron
        case IntervalSchedule():
            return f"every {schedule.interval}"
        case _:
            return schedule.rrule.replace("\n", " ")
