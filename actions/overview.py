"""What the first page shows: whether everything is safe, and what the catalog holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from actions.door import Identity, action
from core.permissions import Permission
from core.states import RunState
from db.inventory import Sum
from services import overview
from services.overview import Line
from services.records import executions, inventory

if TYPE_CHECKING:
    from deployments.jobs import UnreadableJob

RUN_DAYS = 14
CALENDAR_DAYS = 365


@dataclass(frozen=True)
class Overview:
    """The state of everything at one moment, in UTC. ``stored`` sums up all copies, ``today`` one of each backup."""

    now: datetime
    lines: tuple[Line, ...]
    unreadable: tuple[UnreadableJob, ...]
    stored: Mapping[str, Sum]
    today: Sum


@dataclass(frozen=True)
class History:
    """The backups of each day of a year, with the bytes of one copy of each, and the runs of the last days."""

    days: Mapping[date, Sum]
    runs: Mapping[tuple[date, RunState], int]


@action(Permission.BACKUPS_READ)
def everything(who: Identity) -> Overview:
    """All jobs, those that need attention first, and what is stored. Raises when the catalog fails.

    Whoever may see some sources only gets their jobs, and no sums, which are of all.
    """
    from deployments.known_jobs import known

    now, found = datetime.now(UTC), known.everything()
    if who.is_limited(Permission.BACKUPS_READ):
        mine = tuple(spec for spec in found.readable if who.reaches(Permission.BACKUPS_READ, spec.source))
        lines = overview.lines(mine, now, within=who.limits[Permission.BACKUPS_READ])
        return Overview(now, tuple(lines), (), {}, Sum(0, 0))
    lines = overview.lines(found.readable, now)
    today = inventory().by_day(now.date()).get(now.date(), Sum(0, 0))
    return Overview(now, tuple(lines), found.unreadable, inventory().by_storage(), today)


@action(Permission.BACKUPS_READ)
def history(who: Identity) -> History:
    """What the last year looked like; nothing for whoever may see some sources only. Raises when the catalog fails."""
    if who.is_limited(Permission.BACKUPS_READ):
        return History({}, {})
    now = datetime.now(UTC)
    days = inventory().by_day((now - timedelta(days=CALENDAR_DAYS)).date())
    return History(days, executions().by_day(now - timedelta(days=RUN_DAYS)))
