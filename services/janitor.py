"""Removing what killed runs have left on a destination: backups that were never finished, and parts of uploads.

Nothing is touched that is not recognised as ours, that was written to within a day, that a living run of this home
owns, that is pinned, or that the catalog knows as a backup: one whose manifest is gone is not unfinished but damaged,
and an integrity check reports it.

Databases that killed restores have left on a server are another matter: they are removed only when somebody says so,
and then only what bears the mark of a restore, is in nobody's use, and belongs to a run that is over for certain or was
begun more than a day ago, for another machine may be restoring into it now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core import naming
from core.errors import AdapterError, DBackupError
from core.log import logger
from core.ports import DatabaseAdapter, KeepsParts, StorageAdapter
from core.settings import settings
from core.unfinished import NAME, LeavesUnfinished, UnfinishedDatabase
from services import stored
from services.destinations import Destination
from services.records import catalog, executions
from services.stored import Folder

ABANDONED = timedelta(days=1)
RESTORE = "restore-"  # of the folder that a restore holds while it lives; its id follows
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


@dataclass(frozen=True)
class Judged:
    """A database of a restore's, and why it stays; an empty reason means that it may be removed."""

    database: UnfinishedDatabase
    stays: str


def foreign(storage: StorageAdapter) -> tuple[int, int]:
    """How many objects of a destination are of no backup of ours, and their bytes. Raises StorageError."""
    sizes = [one.size for one in storage.list() if naming.parse_key(one.key) is None]
    return len(sizes), sum(sizes)


def unfinished_databases(source: DatabaseAdapter, living: Collection[str], now: datetime) -> list[Judged]:
    """The databases of a server that restores have made, of living ones too. Raises what the engine raises.

    ``living`` are the names of the folders that live runs of this home hold.
    """
    if not isinstance(source, LeavesUnfinished):
        return []
    return [Judged(one, reason_to_stay(one, living, now)) for one in source.unfinished()]


def being_built(source: DatabaseAdapter, names: Collection[str]) -> set[str]:
    """Those of a server's databases that restores are building, or have built in vain: nobody wants a backup of them.

    A name alone is no proof: what has no mark is somebody's own. Raises what the engine raises.
    """
    if not isinstance(source, LeavesUnfinished) or not any(map(NAME.search, names)):
        return set()
    found = {one.name for one in source.unfinished() if one.mark and one.is_built} & set(names)
    for name in sorted(found):
        log.warning("left out of a backup of everything: a restore builds it, or was killed", database=name)
    return found


def reason_to_stay(one: UnfinishedDatabase, living: Collection[str], now: datetime) -> str:
    """Why a database must not be removed, or nothing."""
    if one.mark is None:
        return "nothing proves that a restore made it; if you know that one did, drop it by hand"
    if one.precious:
        return one.precious
    if one.in_use or RESTORE + one.mark.run in living:
        return "its restore may live"
    if now - one.mark.begun < ABANDONED and not _is_over(one.mark.run):
        return "its restore may live on another machine; that is ruled out a day after it was begun"
    return ""


def drop(source: DatabaseAdapter, one: Judged) -> None:
    """Remove a database that may be removed. Raises AdapterError for one that must stay, or what the engine raises."""
    if one.stays or not isinstance(source, LeavesUnfinished):
        raise AdapterError(f"'{one.database.name}' stays: {one.stays}")
    source.drop_unfinished(one.database.name)
    log.info("unfinished database dropped", database=one.database.name, server=source.describe())


def _is_over(run: str) -> bool:
    """Whether a run that does not live here has ended for certain. A record that cannot be read says nothing."""
    if not run or _left_its_folder(run):
        return bool(run)
    try:
        known = executions().get(run)
    except DBackupError:
        return False
    return known is not None and known.state.is_final


def _left_its_folder(run: str) -> bool:
    """Whether the folder of a restore of this home is still there: one that nobody holds was left by its death."""
    runs = settings().runs
    return runs.is_dir() and RESTORE + run in {folder.name for folder in runs.iterdir()}


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
