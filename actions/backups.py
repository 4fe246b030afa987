"""Stored backups: list, show, delete, pin, and the catalog that indexes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice

from actions.door import Identity, action
from blocks.addresses import keyring, open_storage
from core import naming
from core.errors import BackupNotFound, DBackupError
from core.jobs import Address
from core.manifest import Manifest
from core.permissions import Permission
from core.ports import StorageAdapter
from core.settings import settings
from services import indexing, janitor, stored
from services.destinations import Destination
from services.indexing import is_locked
from services.janitor import Leftover
from services.records import catalog, owed_copies
from services.stored import Folder, StoredBackup
from services.workspace import alive


@dataclass(frozen=True)
class Row:
    """One backup in a list. Sizes in bytes; ``problem`` says why its manifest cannot be read."""

    backup_id: str
    job: str
    source: str
    engine: str
    started_at: datetime | None
    size: int
    dump_size: int
    profile: str | None
    storages: tuple[str, ...]
    locked: bool
    missing: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Shown:
    """One backup: its manifest, where it lies, and whether it is pinned there."""

    manifest: Manifest
    storages: tuple[str, ...]
    locked: bool


@dataclass(frozen=True)
class Listing:
    """Backups, newest first; ``more`` when a limit has left some out."""

    rows: tuple[Row, ...]
    more: bool

    @classmethod
    def of(cls, rows: Iterable[Row], limit: int | None) -> Listing:
        """The first ``limit`` rows, or all of them for None. One more is drawn than is given, to know of it."""
        drawn = tuple(islice(rows, None if limit is None else limit + 1))
        return cls(drawn[:limit], limit is not None and len(drawn) > limit)


@action(Permission.BACKUPS_READ)
def in_catalog(who: Identity, *, job: str | None = None, limit: int | None = None) -> Listing:
    """What the catalog knows of one job (its name or folder) or of all: everything, or the newest ``limit``."""
    whole = limit is None or who.is_limited(Permission.BACKUPS_READ)  # the catalog does not know who may see what
    entries = catalog().backups(limit=None if whole or limit is None else limit + 1, job=job)
    rows = (_row(entry.manifest, entry.size, entry.storages, entry.locked) for entry in entries)
    return Listing.of(_visible(who, rows), limit)


@action(Permission.BACKUPS_READ)
def on_storage(who: Identity, at: Address, *, job: str | None = None, limit: int | None = None) -> Listing:
    """What lies on one destination, read from there: everything, or the newest ``limit``.

    With ``job``, its name or folder, only what is of it, and what cannot be read in a folder that may be its own.
    Raises when the destination cannot be listed.
    """
    storage, name = _opened(at)
    rows = (
        _row(found.manifest, found.folder.size, (name,), is_locked(storage, found.folder))
        if isinstance(found, StoredBackup)
        else _unreadable(*found, name)
        for found in stored.backups(storage)
        if job is None or _may_be_of(job, found)
    )
    return Listing.of(_visible(who, rows), limit)


def _visible(who: Identity, rows: Iterable[Row]) -> Iterable[Row]:
    """What one may see. Whose backup it is that cannot be read, nobody knows."""
    return (row for row in rows if who.reaches(Permission.BACKUPS_READ, row.source))


def _may_be_of(job: str, found: StoredBackup | tuple[Folder, DBackupError]) -> bool:
    if isinstance(found, StoredBackup):
        return job in (found.folder.slug, found.manifest.job.name)
    folder, _ = found
    return folder.slug == job or naming.is_slug_of(folder.slug, job)


@action(Permission.BACKUPS_READ)
def show(who: Identity, reference: str, at: Address | None = None) -> Shown:
    """One backup, as a destination has it or, without one, as the catalog knows it."""
    if at is None:
        with who.concealing(Permission.BACKUPS_READ):
            entry = catalog().find(reference)
        who.require(Permission.BACKUPS_READ, entry.manifest.source.name)
        return Shown(entry.manifest, entry.storages, entry.locked)
    storage, name = _opened(at)
    with who.concealing(Permission.BACKUPS_READ):
        found = stored.resolve(storage, reference)
    who.require(Permission.BACKUPS_READ, found.manifest.source.name)
    return Shown(found.manifest, (name,), is_locked(storage, found.folder))


@action(Permission.BACKUPS_READ)
def locate(who: Identity, reference: str, at: Address) -> tuple[str, str]:
    """The job's folder and the id of what :func:`delete` would remove, finished and readable or not."""
    who.require_of(Permission.BACKUPS_READ, lambda: stored.source_of(open_storage(at), reference))
    storage, _ = _opened(at)
    folder = stored.find(storage, reference, unfinished=True)
    return folder.slug, folder.backup_id


@action(Permission.BACKUPS_WRITE)
def delete(who: Identity, reference: str, at: Address) -> str:
    """Remove a backup from one destination, and give its id. Raises BackupLocked for a pinned one.

    A copy that is still owed to the destination is owed no longer, whether or not a part of it is there.
    """
    who.require_of(Permission.BACKUPS_WRITE, lambda: stored.source_of(open_storage(at), reference))
    storage, name = _opened(at)
    try:
        folder = stored.find(storage, reference, unfinished=True)
    except BackupNotFound:
        if owed_copies().settled(reference, name):
            return reference
        raise
    stored.delete(storage, folder)
    catalog().forget_location(folder.backup_id, name)
    owed_copies().settled(folder.backup_id, name)
    return folder.backup_id


@action(Permission.BACKUPS_WRITE)
def set_lock(who: Identity, reference: str, at: Address, *, locked: bool) -> tuple[str, bool]:
    """Pin a backup or take the pin away; gives its id and whether anything changed."""
    who.require_of(Permission.BACKUPS_WRITE, lambda: stored.source_of(open_storage(at), reference))
    storage, name = _opened(at)
    folder = stored.find(storage, reference)
    changed = stored.lock(storage, folder) if locked else stored.unlock(storage, folder)
    catalog().set_locked(folder.backup_id, name, locked)
    return folder.backup_id, changed


@action(Permission.BACKUPS_WRITE)
def rebuild_catalog(
    who: Identity, destinations: Sequence[Address], *, accept_tampered: bool = False
) -> tuple[int, list[str]]:
    """Read these destinations anew into the catalog; gives how many copies were found, and problems.

    Nothing is forgotten when one of them cannot be listed, and what lies elsewhere stays known. A backup that cannot be
    read or may not be genuine is a problem, and what the catalog knew of it stays; the latter can be accepted.
    """
    who.require_everywhere(Permission.BACKUPS_WRITE)
    places = [Destination(name, storage) for storage, name in map(_opened, destinations)]
    readings = indexing.rebuild(places, cache(keyring), accept_tampered=accept_tampered)
    told = [
        f"{folder.key} on {reading.place.name}: {error.message}"
        for reading in readings
        for folder, error in reading.problems
    ]
    return sum(len(reading.backups) for reading in readings), told


@action(Permission.BACKUPS_WRITE)
def clean(who: Identity, at: Address, *, dry_run: bool) -> list[Leftover]:
    """Remove what killed runs have left on a destination more than a day ago; gives what that is.

    Raises ConfigurationError when the catalog cannot say what it knows there: then nothing is removed.
    """
    who.require_everywhere(Permission.BACKUPS_WRITE)
    storage, name = _opened(at)
    return janitor.clean(Destination(name, storage), alive(settings().runs), dry_run=dry_run)


@action(Permission.BACKUPS_READ)
def foreign(who: Identity, at: Address) -> tuple[int, int]:
    """How many objects of a destination are of no backup, and their bytes; nothing here ever touches them."""
    who.require_everywhere(Permission.BACKUPS_READ)
    storage, _ = _opened(at)
    return janitor.foreign(storage)


def _opened(at: Address) -> tuple[StorageAdapter, str]:
    storage = open_storage(at)
    return storage, str(at) if at.is_name else storage.describe()


def _row(manifest: Manifest, size: int, storages: tuple[str, ...], locked: bool) -> Row:
    return Row(
        backup_id=manifest.backup_id,
        job=manifest.job.name,
        source=manifest.source.name,
        engine=manifest.source.engine,
        started_at=manifest.started_at,
        size=size,
        dump_size=sum(file.dump_size for file in manifest.files),
        profile=next((file.encryption.profile for file in manifest.files if file.encryption), None),
        storages=storages,
        locked=locked,
        missing=manifest.missing,
    )


def _unreadable(folder: Folder, error: DBackupError, name: str) -> Row:
    return Row(
        folder.backup_id, folder.slug, "", "", None, folder.size, 0, None, (name,), folder.locked, problem=error.message
    )
