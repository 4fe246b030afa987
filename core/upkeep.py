"""Reports of what the system does by itself beside backups: reading storages anew, looking for overdue jobs."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from core.reports import Delivery, Failure
from core.states import RunState


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReadStorage(_Report):
    """One storage that was read into the catalog: what lies there, which folders cannot be read, or why it failed."""

    storage: str
    backups: int = 0
    unreadable: tuple[str, ...] = ()
    failure: Failure | None = None


class CatalogReport(_Report):
    """One run that brought the catalog up to date with the storages."""

    state: RunState
    started_at: datetime
    finished_at: datetime
    storages: tuple[ReadStorage, ...] = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be read."""
        return tuple(one.failure for one in self.storages if one.failure)

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        read = [one for one in self.storages if not one.failure]
        unreadable = sum(len(one.unreadable) for one in read)
        told = f"{sum(one.backups for one in read)} backups on {len(read)} of {len(self.storages)} storages"
        also = f", {unreadable} more cannot be read" if unreadable else ""
        return f"catalog sync {self.state.value}: {told}{also}"


class OverdueReport(_Report):
    """One look for jobs without a good backup for too long: which are, which nobody can read, and who was told."""

    state: RunState
    started_at: datetime
    finished_at: datetime
    overdue: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    told: tuple[Delivery, ...] = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Who could not be told."""
        silent = (one for one in self.told if not one.delivered)
        return tuple(Failure(subject=one.channel, reason=one.reason, hint=one.hint) for one in silent)

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        found = [f"overdue: {', '.join(self.overdue)}"] if self.overdue else []
        found += [f"cannot be read: {', '.join(self.unreadable)}"] if self.unreadable else []
        return f"look for overdue jobs {self.state.value}: {'; '.join(found) or 'none'}"

    def says_the_same_as(self, earlier: OverdueReport | None) -> bool:
        """Whether it finds what an earlier look found, or nothing where there was none, and nobody was told."""
        known = (earlier.overdue, earlier.unreadable) if earlier else ((), ())
        return not self.told and (self.overdue, self.unreadable) == known
