"""Reading destinations anew into the catalog.

What was read is recorded first; what is forgotten is forgotten last, and only by a list: a copy that was known before
the reading began and that no list shows when it is over. So a manifest that could not be read, a connection that
drops, a backup that is committed or deleted meanwhile, and a process that is killed in the middle cost no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.container import Keyring
from core.errors import BackupLocked, BackupNotFound, DBackupError, TamperedManifest, WrongKey
from core.ports import StorageAdapter
from services import stored
from services.authorship import Authors
from services.destinations import Destination
from services.records import catalog
from services.stored import Folder, StoredBackup

Problem = tuple[Folder, DBackupError]


@dataclass(frozen=True)
class Reading:
    """What was read on one destination, what may not be indexed, and the ids that the catalog knew there before."""

    place: Destination
    known: frozenset[str]
    backups: tuple[StoredBackup, ...]
    problems: tuple[Problem, ...]


def rebuild(
    places: Sequence[Destination], keys: Callable[[], Keyring], *, accept_tampered: bool = False
) -> tuple[Reading, ...]:
    """Bring the catalog up to date with these destinations; gives what was read on each.

    Raises when one of them cannot be listed: then nothing is forgotten. A backup that may not be genuine is a problem,
    and what the catalog knew of it stays, unless that is accepted.
    """
    readings = tuple(_read(place, keys, accept_tampered) for place in places)
    for reading in readings:
        _record(reading)
    gone = [(reading.place.name, backup_id) for reading in readings for backup_id in _gone(reading)]
    for name, backup_id in gone:
        catalog().forget_location(backup_id, name)
    return readings


def is_locked(storage: StorageAdapter, folder: Folder) -> bool:
    """Whether a backup is pinned; a pin that cannot be read counts as one."""
    try:
        return stored.pinned(storage, folder)
    except BackupLocked:
        return True


def _read(place: Destination, keys: Callable[[], Keyring], accept_tampered: bool) -> Reading:
    known = catalog().ids_on(place.name)  # before the list: what is committed after it is not forgotten
    good, problems = list[StoredBackup](), list[Problem]()
    authors = Authors(place.storage)
    for one in stored.backups(place.storage):
        if not isinstance(one, StoredBackup):
            if not isinstance(one[1], BackupNotFound):  # deleted since the list, which is no problem
                problems.append(one)
        elif (doubt := None if accept_tampered else _doubt(authors, one, keys)) is not None:
            problems.append((one.folder, doubt))
        else:
            good.append(one)
    return Reading(place, known, tuple(good), tuple(problems))


def _doubt(authors: Authors, backup: StoredBackup, keys: Callable[[], Keyring]) -> TamperedManifest | None:
    try:
        authors.require(backup, keys() if backup.manifest.key_ids() else {})
    except TamperedManifest as error:
        return error
    except WrongKey:  # it is indexed all the same: its key may come back
        return None
    return None


def _record(reading: Reading) -> None:
    name, storage = reading.place.name, reading.place.storage
    for one in reading.backups:
        locked = is_locked(storage, one.folder)
        catalog().record(one.manifest, one.written, storage=name, folder=one.folder.key, locked=locked)


def _gone(reading: Reading) -> Iterator[str]:
    """The ids that were known or have just been recorded, and that a list no longer shows as finished."""
    there = {folder.backup_id for folder in stored.folders(reading.place.storage) if folder.complete}
    recorded = {one.folder.backup_id for one in reading.backups}
    yield from sorted((reading.known | recorded) - there)
