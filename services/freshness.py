"""How old a job's last good backup is. A job that has stopped running says nothing by itself; this does.

Good is a backup that was committed to at least one destination and misses nothing, as the catalog knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.jobs import JobSpec
from core.naming import job_slug
from db.inventory import Held
from services.backups import saved_job
from services.records import inventory

AHEAD = timedelta(hours=1)  # that the clock of another machine may be; what is dated later says nothing about today


@dataclass(frozen=True)
class Freshness:
    """When a job's last good backup was taken, and after how many hours without one it is overdue."""

    job: str
    last_good: datetime | None
    overdue_after: int | None
    overdue: bool

    def age(self, now: datetime) -> timedelta | None:
        """How long ago the last good backup was taken; None when there is none."""
        return now - self.last_good if self.last_good else None


def of_jobs(specs: Iterable[JobSpec], created: Mapping[str, datetime], now: datetime) -> list[Freshness]:
    """Look jobs up in the catalog, all by one query. One that never had a good backup is as old as itself: it is late
    when that is.

    Raises ConfigurationError when the catalog fails: then nothing is known.
    """
    good = inventory().newest_complete(until=now + AHEAD)
    return [_of_job(spec, good, created[spec.name], now) for spec in specs]


def _of_job(spec: JobSpec, good: Mapping[str, Held], created: datetime, now: datetime) -> Freshness:
    reference = saved_job(spec.name)
    newest = good.get(job_slug(reference.name, reference.id))
    last, limit = newest.started_at if newest else None, spec.overdue_after
    late = limit is not None and now - (last or created) > timedelta(hours=limit)
    return Freshness(spec.name, last, limit, late)
