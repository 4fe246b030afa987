"""What one series of backups has on one destination, to be decided about without reading all of it.

The list is always read anew. A manifest that the catalog knows is not read again, as long as the list shows it with the
same size and not written to since its run. That is good enough to keep a backup, and never to delete one:

- whatever is about to go is read anew, its manifest and its pin
- so are the newest ``min_keep`` of each database that it holds, so that whatever the catalog says, they are there

What is found out that way is decided upon again. So a catalog that is stale or lies costs reads, and deletes nothing
that these would not let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core import naming
from core.container import Keyring
from core.errors import BackupNotFound, DBackupError, TamperedManifest
from core.log import logger
from core.manifest import JobReference, Manifest, ManifestFile, SourceDescription
from core.retention import IN_THE_FUTURE, Candidate, Decision, Retention, decide
from db.catalog import Entry
from services import stored
from services.authorship import Authors, require_equal
from services.destinations import Destination
from services.records import catalog
from services.stored import Folder, StoredBackup

UNTOUCHED = timedelta(days=1)  # a manifest is written within this after its dumps, or is read anew each time
log = logger(service="retention")


@dataclass(frozen=True)
class Series:
    """The backups that are decided about together: those of one job and one source.

    Which of them stand in for each other depends on what they hold.
    """

    job: JobReference
    engine: str
    source: str

    @classmethod
    def of(cls, job: JobReference, source: SourceDescription) -> Series:
        """The series that a backup belongs to."""
        return cls(job, source.engine, source.name)

    def holds(self, manifest: Manifest) -> bool:
        """Whether a backup belongs to it."""
        return Series.of(manifest.job, manifest.source) == self

    @property
    def slug(self) -> str:
        """The job's folder on every destination."""
        return naming.job_slug(self.job.name, self.job.id)


@dataclass(frozen=True)
class Rules:
    """What decides on a destination: the policy, the job's time zone, and the time at which is decided."""

    policy: Retention
    zone: ZoneInfo
    now: datetime


class Candidates:
    """The committed backups of a series on a destination. Raises a DBackupError on any doubt about what there is.

    ``keys`` gives the keys that manifests are checked with; it is asked once, and only if there are encrypted ones.
    """

    def __init__(self, place: Destination, series: Series, keys: Callable[[], Keyring]) -> None:
        self._place, self._series, self._fetch = place, series, keys
        self._keys: Keyring | None = None
        self._authors = Authors(place.storage)
        self._recorded = _recorded(series.slug)  # before the list: what is committed meanwhile is read
        self.folders = {one.backup_id: one for one in stored.folders(place.storage, series.slug)}
        self._found: dict[str, Candidate] = {}
        self._read: set[str] = set()
        for folder in self.folders.values():
            if folder.complete:
                self._look_at(folder)

    def decided(self, rules: Rules, further: Candidate | None = None) -> tuple[Decision, ...]:
        """A decision about each of them, newest first; ``further`` is one that is not there, and decided about, too."""
        while True:
            there = [*self._found.values(), *([further] if further else [])]
            decisions = decide(there, rules.policy, rules.zone, rules.now)
            unread = _crucial(decisions, rules.policy.min_keep) & self._found.keys() - self._read
            if not unread:
                return decisions
            for backup_id in sorted(unread):
                self._read_anew(self.folders[backup_id])

    def cut(self) -> Iterator[tuple[Folder, Candidate]]:
        """What is left of backups whose manifest is gone although the catalog knows that they were committed here."""
        for folder in self.folders.values():
            entry = None if folder.complete else self._recorded_here(folder)
            if entry and self._series.holds(entry.manifest):
                pinned = stored.pinned(self._place.storage, folder)
                yield folder, candidate(entry.manifest, complete=True, pinned=pinned)

    def _look_at(self, folder: Folder) -> None:
        entry = self._recorded_here(folder)
        if entry is None or not _is_the_same(entry, folder):
            self._read_anew(folder)
            return
        stored.require_genuine(StoredBackup(folder, entry.manifest, entry.written), self._keys_for(entry.manifest))
        self._note(folder, entry.manifest, pinned=folder.locked)

    def _recorded_here(self, folder: Folder) -> Entry | None:
        entry = self._recorded.get(folder.backup_id)
        return entry if entry and self._place.name in entry.storages else None

    def _read_anew(self, folder: Folder) -> None:
        """Read a manifest and its pin. What somebody else deletes at this moment is no backup any more."""
        self._read.add(folder.backup_id)
        try:
            backup = stored.read(self._place.storage, folder)
        except BackupNotFound:
            self._found.pop(folder.backup_id, None)
            return
        self._require_genuine(backup)
        if self._series.holds(backup.manifest):
            self._note(folder, backup.manifest, pinned=stored.pinned(self._place.storage, folder))

    def _require_genuine(self, backup: StoredBackup) -> None:
        """Raise TamperedManifest or WrongKey unless it is as it was written, as far as that can be known."""
        keys = self._keys_for(backup.manifest)
        if known := self._recorded.get(backup.folder.backup_id):
            stored.require_genuine(backup, keys)
            require_equal(known.manifest, backup.manifest)
        else:
            self._authors.require(backup, keys)

    def _note(self, folder: Folder, manifest: Manifest, *, pinned: bool) -> None:
        if manifest.started_at != naming.started_at(folder.backup_id):
            raise TamperedManifest(
                f"the manifest of {folder.backup_id} says that it was started at {manifest.started_at}",
                hint="somebody changed it: look at the destination, and delete this backup by hand if it is none",
            )
        if self._series.holds(manifest):
            self._found[folder.backup_id] = candidate(manifest, complete=not manifest.missing, pinned=pinned)

    def _keys_for(self, manifest: Manifest) -> Keyring:
        if not manifest.key_ids():
            return {}
        if self._keys is None:
            self._keys = self._fetch()
        return self._keys


def candidate(manifest: Manifest, *, complete: bool, pinned: bool) -> Candidate:
    """A backup as it is decided about."""
    return Candidate(manifest.backup_id, manifest.started_at, complete, pinned, _holdings(manifest))


def _holdings(manifest: Manifest) -> frozenset[str]:
    """What a backup holds, each in words that fit nothing else. A part of a database is not the database."""
    return frozenset(held for file in manifest.files for held in _held(file))


def _held(file: ManifestFile) -> list[str]:
    if file.kind == "globals":
        return ["the globals"]
    # a name in quotes cannot be taken for another name with filters, nor for the globals
    filters = "".join(f" with {name} {list(chosen)}" for name, chosen in sorted(file.filters.items()))
    return [repr(name) + filters for name in file.holds]


def _recorded(slug: str) -> dict[str, Entry]:
    """What the catalog knows of a job, by id. One that fails or is damaged knows nothing: then everything is read."""
    try:
        return {entry.manifest.backup_id: entry for entry in catalog().backups(job=slug)}
    except DBackupError as error:
        log.warning("the catalog cannot be used, so every manifest is read", reason=error.message)
        return {}


def _is_the_same(entry: Entry, folder: Folder) -> bool:
    """Whether the manifest that the list shows can only be the recorded one, unless somebody forged its time, too."""
    manifest = entry.manifest
    shown = next(one for one in folder.objects if one.key == naming.manifest_key(folder.key))
    return (
        naming.job_slug(manifest.job.name, manifest.job.id) == folder.slug
        and shown.size == len(entry.written)
        and shown.modified <= manifest.finished_at + UNTOUCHED
    )


def _crucial(decisions: Sequence[Decision], min_keep: int) -> set[str]:
    """The ids of what is about to go, and of the newest few that stay of each database that it holds."""
    going = [one.backup for one in decisions if not one.keep]
    crucial = {one.backup_id for one in going}
    staying = [one.backup for one in decisions if one.keep and _counts(one)]
    for part in {part for one in going for part in _parts(one)}:
        crucial.update([one.backup_id for one in staying if part in _parts(one)][:min_keep])
    return crucial


def _counts(decision: Decision) -> bool:
    one = decision.backup
    return one.complete and not one.pinned and IN_THE_FUTURE not in decision.reasons


def _parts(one: Candidate) -> frozenset[str]:
    return one.holds or frozenset({""})
