"""A span of calendar time, written ``30d``, ``2w``, ``1y5m``, ``36h``.

Years and months have no fixed length: a span is taken from a moment by the calendar and the clock of a time zone. A
day of the month that does not exist becomes the month's last one, which is the earlier choice.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import MINYEAR, UTC, datetime, timedelta, tzinfo

from core.errors import ConfigurationError

UNITS = {"y": "years", "m": "months", "w": "weeks", "d": "days", "h": "hours"}
_WRITTEN = re.compile("".join(rf"(?:(?P<{name}>[0-9]{{1,6}}){unit})?" for unit, name in UNITS.items()))


@dataclass(frozen=True)
class Span:
    """Years, months, weeks, days and hours, in this order where it is written; at least one of them is not zero."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read a span. Raises ConfigurationError for anything else, and for one that lasts no time."""
        found = _WRITTEN.fullmatch(text) if text else None
        span = cls(**{name: int(number or 0) for name, number in found.groupdict().items()}) if found else cls()
        if span == cls():
            raise ConfigurationError(
                f"{text!r} is not a span of time",
                hint="write years, months, weeks, days and hours in this order: 30d, 2w, 6m, 1y5m, 36h",
            )
        return span

    def __str__(self) -> str:
        counts = ((getattr(self, name), unit) for unit, name in UNITS.items())
        return "".join(f"{count}{unit}" for count, unit in counts if count)

    def before(self, moment: datetime, zone: tzinfo) -> datetime:
        """The moment, in UTC, that lies this span before another one (which has a time zone)."""
        local = moment.astimezone(zone)
        year, month = divmod(local.year * 12 + local.month - 1 - self.years * 12 - self.months, 12)
        if year <= MINYEAR:
            return datetime.min.replace(tzinfo=UTC)
        day = min(local.day, calendar.monthrange(year, month + 1)[1])
        try:
            begun = local.replace(year=year, month=month + 1, day=day) - timedelta(weeks=self.weeks, days=self.days)
            return begun.astimezone(UTC) - timedelta(hours=self.hours)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
