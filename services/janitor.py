"""Removing what killed runs have left on a destination: backups that were never finished, and parts of uploads.

Nothing is touched that is not recognised as ours, that was written to within a day, that a living run of this home
owns, that is pinned, or that the catalog knows as a backup: one whose manifest is gone is not unfinished but damaged,
and an integrity check reports it.

Databases that killed restores have left on a server are found by their names and never removed: no server says when a
database was made, and another machine may be restoring into it now.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core import naming
from core.log import logger
from core.ports import DatabaseAdapter, KeepsParts, StorageAdapter
from services import stored
from services.destinations import Destination
from services.records import catalog
from services.stored import Folder

ABANDONED = timedelta(days=1)
UNFINISHED = re.compile(r"__dbackup_[0-9a-f]{8}$")  # of the name of a database that a restore builds
log = logger(service="janitor")


@dataclass(frozen=True)
class Leftover:
    """Something that nobody will finish: its key or a part's name, its size in bytes, and what it is."""

    key: str
    size: int
    what: str
    is_part: bool = False


def leftovers(storage: StorageAdapter, now: datetime, *, spared: Collection[str]) -> Iterator[Leftover]:
    """What may be removed. ``spared`` are the ids of backups that live runs own or the catalog knows here.

    Raises StorageError when the destination cannot be listed, BackupLocked when a pin cannot be read.
    """
    before = now - ABANDONED
    for folder in stored.folders(storage):
        if folder.backup_id not in spared and _is_abandoned(folder, before) and not stored.pinned(storage, folder):
            yield Leftover(folder.key, folder.size, "a backup that was never finished")
    if isinstance(storage, KeepsParts):
        for part in storage.parts():
            if part.modified < before:
                yield Leftover(part.key, part.size, "a part of an upload", is_part=True)


def unfinished_databases(source: DatabaseAdapter) -> list[str]:
    """The databases of a server that have the name of a restore's: one that was killed, or that is under way.

    Raises what the engine raises.
    """
    return sorted(one.name for one in source.databases() if UNFINISHED.search(one.name))


def _is_abandoned(folder: Folder, before: datetime) -> bool:
    """Whether a backup was started before a moment, and neither finished nor written to since."""
    started = naming.started_at(folder.backup_id)
    return not folder.complete and max([started, *(one.modified for one in folder.objects)]) < before


def clean(place: Destination, living: Collection[str], *, dry_run: bool) -> list[Leftover]:
    """Remove what may be removed, and give what that is. ``living`` are the ids of backups that live runs own.

    Raises ConfigurationError when the catalog cannot say what it knows there: then nothing is removed.
    """
    known = {entry.manifest.backup_id for entry in catalog().on_storage(place.name)}
    found = list(leftovers(place.storage, datetime.now(UTC), spared=known | set(living)))
    for leftover in () if dry_run else found:
        remove(place.storage, leftover)
    return found


def remove(storage: StorageAdapter, leftover: Leftover) -> None:
    """Remove a leftover. A backup that was finished after all, in this moment, stays."""
    if leftover.is_part and isinstance(storage, KeepsParts):
        storage.drop_part(leftover.key)
    else:
        slug = leftover.key.partition("/")[0]
        for folder in stored.folders(storage, slug):
            if folder.key == leftover.key and not folder.complete:
                stored.delete(storage, folder)
    log.info("leftover removed", key=leftover.key, size=leftover.size, storage=storage.describe())
