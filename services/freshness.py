"""How old a job's last good backup is. A job that has stopped running says nothing by itself; this does.

Good is a backup that was committed to at least one destination and misses nothing, as the catalog knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.jobs import JobSpec
from core.naming import job_slug
from services.backups import saved_job
from services.records import catalog

PAGE = 50  # backups looked at in one query
AHEAD = timedelta(hours=1)  # that the clock of another machine may be


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


def of_job(spec: JobSpec, created: datetime, now: datetime) -> Freshness:
    """Look a job up in the catalog. One that never had a good backup is as old as itself: it is late when that is.

    Raises ConfigurationError when the catalog fails: then nothing is known.
    """
    last = last_good(spec.name, now)
    limit = spec.overdue_after
    late = limit is not None and now - (last or created) > timedelta(hours=limit)
    return Freshness(spec.name, last, limit, late)


def last_good(name: str, now: datetime) -> datetime | None:
    """When the newest complete backup of a job was started, or None. Raises ConfigurationError.

    One that a clock far ahead has dated into the future says nothing about today.
    """
    reference = saved_job(name)
    slug = job_slug(reference.name, reference.id)
    offset = 0
    while entries := catalog().backups(job=slug, limit=PAGE, offset=offset):
        for entry in entries:
            if entry.storages and not entry.manifest.missing and entry.manifest.started_at <= now + AHEAD:
                return entry.manifest.started_at
        offset += PAGE
    return None
