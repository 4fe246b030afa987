"""What a run tells about itself when it is over: for people, for scripts (``--json``) and for the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.errors import DBackupError
from core.events import Event
from core.manifest import ManifestFile
from core.states import RunState
from core.words import count


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(_Report):
    """Something that did not work: what it was, why, and what to do about it."""

    subject: str
    reason: str
    hint: str = ""

    @classmethod
    def of(cls, subject: str, error: DBackupError) -> Failure:
        """The failure that an error tells of."""
        return cls(subject=subject, reason=error.message, hint=error.hint)

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


class StoredCopy(_Report):
    """One destination of a backup: whether a complete, checked copy lies there, and how it was checked."""

    storage: str
    complete: bool
    # "read back": every byte was read from the destination and hashed; "hashed by the server": there, by its own tool;
    # "checked by the server on receipt": it was seen to refuse what does not have the SHA-256 that it is sent with
    checked: str = ""
    failure: Failure | None = None


class Healed(_Report):
    """A copy that an earlier run owed to a destination: brought there from ``origin``, or why not.

    ``written_off``: the job's retention would delete it there at once, so it is owed no longer.
    """

    backup_id: str
    storage: str
    origin: str = ""
    complete: bool = False
    written_off: bool = False
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self.complete or self.written_off

    @property
    def failure(self) -> Failure | None:
        """Why it is not there, unless nobody wants it there any more."""
        if self.settled:
            return None
        hint = "look at the destination, then run: dbackup job heal NAME"
        return Failure(subject=f"{self.backup_id} on {self.storage}", reason=self.reason, hint=hint)


class RetainedBackup(_Report):
    """What retention decided about one backup, and why. ``due``: it is to be deleted, and still there."""

    backup_id: str
    started_at: datetime
    outcome: Literal["kept", "deleted", "due"]
    reasons: tuple[str, ...]


class Retained(_Report):
    """Retention on one destination. ``policy`` is empty when everything is kept; then nothing was looked at.

    ``failure`` is a doubt because of which nothing was deleted.
    """

    storage: str
    policy: str = ""
    backups: tuple[RetainedBackup, ...] = ()
    failure: Failure | None = None

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        if self.failure:
            return "nothing was deleted"
        if not self.policy:
            return "everything is kept, no retention is set"
        due = self.count("due")
        return f"{self.count('kept')} kept, {self.count('deleted')} deleted" + (f", {due} to delete" if due else "")

    @property
    def failures(self) -> tuple[Failure, ...]:
        """After rules were applied: the doubt that stopped them, or each backup that could not be deleted."""
        stuck = (one for one in self.backups if one.outcome == "due")
        rows = (Failure(subject=f"{one.backup_id} on {self.storage}", reason=one.reasons[-1]) for one in stuck)
        return (self.failure,) if self.failure else tuple(rows)

    def count(self, outcome: str) -> int:
        """How many backups had this outcome: kept, deleted or due."""
        return sum(one.outcome == outcome for one in self.backups)


class Delivery(_Report):
    """What became of one message: which channel was told of what, or why it was not."""

    channel: str
    delivered: bool
    event: Event | None = None  # None when it did not come to a message
    reason: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.channel} was told" if self.delivered else f"{self.channel} was not told: {self.reason}"


class BackupReport(_Report):
    """One run of a backup. Sizes are in bytes: ``dump_size`` as the tools produced it, ``size`` as stored."""

    state: RunState
    backup_id: str
    job: str
    folder: str
    started_at: datetime
    finished_at: datetime
    files: tuple[ManifestFile, ...]
    copies: tuple[StoredCopy, ...]
    failures: tuple[Failure, ...] = ()
    retention: tuple[Retained, ...] = ()
    healed: tuple[Healed, ...] = ()
    healing_failure: Failure | None = None  # why nobody could look at what is owed
    notifications: tuple[Delivery, ...] = ()

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        good = sum(copy.complete for copy in self.copies)
        places = f"{good} of {count(len(self.copies), 'destination')}"
        told = f"backup {self.backup_id} {self.state.value}, complete on {places}"
        return f"{told}; something else is wrong" if self.also_wrong else told

    @property
    def also_wrong(self) -> tuple[Failure, ...]:
        """What did not work besides: deleting what no rule keeps, and paying what earlier runs owe.

        It changes nothing of the outcome, and somebody has to look at it.
        """
        stopped = [failure for one in self.retention for failure in one.failures]
        owed = [one.failure for one in self.healed if one.failure]
        return (*stopped, *owed, *([self.healing_failure] if self.healing_failure else []))

    @property
    def size(self) -> int:
        """Bytes stored on each destination."""
        return sum(file.size for file in self.files)

    @property
    def dump_size(self) -> int:
        """Bytes that the dump tools produced."""
        return sum(file.dump_size for file in self.files)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()


def _without(missing: tuple[str, ...]) -> str:
    return f"; the backup never held {', '.join(missing)}" if missing else ""


class RestoredDatabase(_Report):
    """One database that came back: where it is now, and what was compared with the manifest."""

    database: str
    restored_as: str
    place: str
    tables: int
    rows: int
    compared: bool  # False when the engine had nothing to compare with
    uncounted: tuple[str, ...] = ()  # tables whose rows the manifest only estimates
    notes: tuple[str, ...] = ()  # what a person should know of what came back
    together: tuple[str, ...] = ()  # the names of all that came back at once


class RestoreReport(_Report):
    """One run of a restore."""

    state: RunState
    backup_id: str
    storage: str
    started_at: datetime
    finished_at: datetime
    job: str = ""  # whose backup it was
    restored: tuple[RestoredDatabase, ...] = ()
    missing: tuple[str, ...] = ()  # what the backup never held, although it was asked for
    failures: tuple[Failure, ...] = ()
    notifications: tuple[Delivery, ...] = ()

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        number = sum(len(one.together) or 1 for one in self.restored)
        came_back = f"{count(number, 'database')} came back{_without(self.missing)}"
        return f"restore of {self.backup_id} {self.state.value}, {came_back}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()


class HealReport(_Report):
    """One run that brought to destinations what earlier runs owed them."""

    state: RunState
    job: str
    started_at: datetime
    finished_at: datetime
    healed: tuple[Healed, ...] = ()
    notifications: tuple[Delivery, ...] = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What is still owed."""
        return tuple(one.failure for one in self.healed if one.failure)

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        done = sum(one.complete for one in self.healed)
        off = sum(one.written_off for one in self.healed)
        told = f"healing of {self.job} {self.state.value}, {done} of {len(self.healed)} owed copies are there"
        return f"{told}, {off} no longer wanted" if off else told

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()


class Leftovers(_Report):
    """What killed runs left in one place: keys on a storage, or databases on a server. ``removed``: it is gone now."""

    place: str
    found: tuple[str, ...] = ()
    removed: bool = False
    failure: Failure | None = None


class CleaningReport(_Report):
    """One run of the janitor over storages and sources."""

    state: RunState
    started_at: datetime
    finished_at: datetime
    storages: tuple[Leftovers, ...] = ()
    sources: tuple[Leftovers, ...] = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Where nobody could look or remove."""
        return tuple(one.failure for one in (*self.storages, *self.sources) if one.failure)

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        removed = sum(len(one.found) for one in self.storages if one.removed)
        left = sum(len(one.found) for one in self.sources)
        found = f"{count(removed, 'leftover')} removed, {count(left, 'unfinished database')} found"
        return f"cleaning {self.state.value}: {found}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()


class CheckedBackup(_Report):
    """What an integrity check found of one backup on one destination."""

    storage: str
    backup_id: str
    job: str
    outcome: str  # passed | failed | skipped
    method: str = ""
    size: int = 0
    reason: str = ""
    hint: str = ""
    missing: tuple[str, ...] = ()  # what the backup never held, although it was asked for


class IntegrityReport(_Report):
    """One integrity run over one or more destinations; ``unread`` are those that could not be looked at."""

    state: RunState
    started_at: datetime
    finished_at: datetime
    checked: tuple[CheckedBackup, ...] = ()
    unread: tuple[Failure, ...] = ()
    notifications: tuple[Delivery, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What did not pass; also that there was nothing that could have passed."""
        if not self.count("passed") + self.count("failed"):
            reason = "there is no finished backup to check"
            return (
                *self.unread,
                Failure(
                    subject="integrity check", reason=reason, hint="see what there is with: dbackup list --at DEST"
                ),
            )
        bad = [one for one in self.checked if one.outcome == "failed"]
        return (
            *self.unread,
            *(Failure(subject=f"{one.backup_id} on {one.storage}", reason=one.reason, hint=one.hint) for one in bad),
        )

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        counts = ", ".join(f"{self.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))
        return f"integrity check {self.state.value}: {counts}{self.left_out}"

    @property
    def left_out(self) -> str:
        """That some destinations could not be looked at, as the end of a sentence; nothing when all could."""
        names = ", ".join(one.subject for one in self.unread)
        return f"; nothing was checked on {names}" if names else ""

    def count(self, outcome: str) -> int:
        """How many backups had this outcome: passed, failed or skipped."""
        return sum(one.outcome == outcome for one in self.checked)
