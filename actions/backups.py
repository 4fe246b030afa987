"""Stored backups: list, show, delete, pin, and the catalog that indexes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from actions.door import Identity, action
from blocks.addresses import keyring, open_storage
from core.container import Keyring
from core.errors import BackupLocked, BackupNotFound, DBackupError, TamperedManifest, WrongKey
from core.jobs import Address
from core.log import logger
from core.manifest import Manifest
from core.permissions import Permission
from core.ports import StorageAdapter
from core.settings import settings
from services import janitor, stored
from services.authorship import Authors
from services.janitor import Leftover
from services.records import catalog, owed_copies
from services.stored import StoredBackup
from services.workspace import alive

log = logger(service="backups")


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


@action(Permission.BACKUPS_READ)
def in_catalog(who: Identity, *, limit: int = 1000, offset: int = 0) -> list[Row]:
    """What the catalog knows, newest first."""
    entries = catalog().backups(limit=limit, offset=offset)
    return [_row(entry.manifest, entry.size, entry.storages, entry.locked) for entry in entries]


@action(Permission.BACKUPS_READ)
def on_storage(who: Identity, at: Address) -> list[Row]:
    """What lies on one destination, read from there, newest first. Raises when it cannot be listed."""
    storage, name = _opened(at)
    return [
        _row(found.manifest, found.folder.size, (name,), _locked(storage, found.folder))
        if isinstance(found, StoredBackup)
        else _unreadable(*found, name)
        for found in stored.backups(storage)
    ]


@action(Permission.BACKUPS_READ)
def show(who: Identity, reference: str, at: Address | None = None) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of one backup and where it lies, from a destination or, without one, from the catalog."""
    if at is None:
        entry = catalog().find(reference)
        return entry.manifest, entry.storages
    storage, name = _opened(at)
    return stored.resolve(storage, reference).manifest, (name,)


@action(Permission.BACKUPS_WRITE)
def delete(who: Identity, reference: str, at: Address) -> str:
    """Remove a backup from one destination, and give its id. Raises BackupLocked for a pinned one.

    A copy that is still owed to the destination is owed no longer, whether or not a part of it is there.
    """
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

    Nothing is forgotten when one of them cannot be listed, and what lies elsewhere stays known. A backup that may not
    be genuine is a problem, and what the catalog knew of it stays, unless that is accepted.
    """
    opened = {name: storage for storage, name in map(_opened, destinations)}
    read = {name: _sorted(storage, accept_tampered) for name, storage in opened.items()}
    for name, (_, problems) in read.items():
        catalog().forget_storage(name, but=[folder.backup_id for folder, _ in problems])
    for name, one in ((name, one) for name, (good, _) in read.items() for one in good):
        locked = _locked(opened[name], one.folder)
        catalog().record(one.manifest, one.written, storage=name, folder=one.folder.key, locked=locked)
    told = [f"{one.key} on {name}: {error.message}" for name, (_, bad) in read.items() for one, error in bad]
    return sum(len(good) for good, _ in read.values()), told


def _sorted(
    storage: StorageAdapter, accept_tampered: bool
) -> tuple[list[StoredBackup], list[tuple[stored.Folder, DBackupError]]]:
    """The backups on a destination that may be indexed, and those that may not, with the reason."""
    good, problems = list[StoredBackup](), list[tuple[stored.Folder, DBackupError]]()
    authors, keys = Authors(storage), cache(keyring)
    for one in stored.backups(storage):
        if not isinstance(one, StoredBackup):
            problems.append(one)
        elif (doubt := None if accept_tampered else _doubt(authors, one, keys)) is not None:
            problems.append((one.folder, doubt))
        else:
            good.append(one)
    return good, problems


def _doubt(authors: Authors, backup: StoredBackup, keys: Callable[[], Keyring]) -> TamperedManifest | None:
    try:
        authors.require(backup, keys() if backup.manifest.key_ids() else {})
    except TamperedManifest as error:
        return error
    except WrongKey:  # it is indexed all the same: its key may come back
        return None
    return None


@action(Permission.BACKUPS_WRITE)
def clean(who: Identity, at: Address, *, dry_run: bool) -> list[Leftover]:
    """Remove what killed runs have left on a destination more than a day ago; gives what that is.

    Raises ConfigurationError when the catalog cannot say what it knows there: then nothing is removed.
    """
    storage, name = _opened(at)
    known = {entry.manifest.backup_id for entry in catalog().on_storage(name)}
    found = list(janitor.leftovers(storage, datetime.now(UTC), spared=known | alive(settings().runs)))
    for leftover in () if dry_run else found:
        janitor.remove(storage, leftover)
    return found


def _opened(at: Address) -> tuple[StorageAdapter, str]:
    storage = open_storage(at)
    return storage, str(at) if at.is_name else storage.describe()


def _locked(storage: StorageAdapter, folder: stored.Folder) -> bool:
    """Whether a backup is pinned; a pin that cannot be read counts as one."""
    try:
        return stored.pinned(storage, folder)
    except BackupLocked:
        return True


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


def _unreadable(folder: stored.Folder, error: DBackupError, name: str) -> Row:
    return Row(
        folder.backup_id, folder.slug, "", "", None, folder.size, 0, None, (name,), folder.locked, problem=error.message
    )
