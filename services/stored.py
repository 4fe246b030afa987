"""What lies on a destination: the manifests are the truth, everything else is an index of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from core import naming
from core.container import Keyring
from core.errors import BackupLocked, BackupNotFound, DBackupError, ObjectNotFound, TamperedManifest
from core.log import logger
from core.manifest import Manifest, authenticate
from core.ports import StorageAdapter, StoredObject

_LARGEST_MANIFEST = 64 << 20  # bytes; a million tables fit
LATEST = "latest"
KEPT_RESULTS = 5  # of checks, beside each backup
log = logger(service="storage")


@dataclass(frozen=True)
class Folder:
    """One backup's folder on a destination, as the listing shows it. Without a manifest it is unfinished."""

    slug: str
    backup_id: str
    objects: tuple[StoredObject, ...]

    @property
    def key(self) -> str:
        """The folder's key on the destination."""
        return naming.backup_folder(self.slug, self.backup_id)

    def has(self, key: str) -> bool:
        """Whether an object of this key is there."""
        return any(one.key == key for one in self.objects)

    @property
    def complete(self) -> bool:
        """Whether the backup was committed."""
        return self.has(naming.manifest_key(self.key))

    @property
    def locked(self) -> bool:
        """Whether the list shows a pin; only :func:`pinned` sees one that is no ordinary object."""
        return self.has(naming.lock_key(self.key))

    @property
    def encrypted(self) -> bool:
        """Whether it is a finished backup that holds encrypted objects, as their names say."""
        return self.complete and any(one.key.endswith(naming.ENCRYPTED) for one in self.objects)

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(one.size for one in self.objects)


@dataclass(frozen=True)
class StoredBackup:
    """A committed backup on a destination, with its manifest as it was read."""

    folder: Folder
    manifest: Manifest
    written: bytes  # the manifest's bytes, over which its authentication code is taken


def folders(storage: StorageAdapter, slug: str = "") -> list[Folder]:
    """Every backup's folder, or those of one job, newest first. Raises when listing fails.

    Objects that are not ours are left out.
    """
    found: dict[tuple[str, str], list[StoredObject]] = {}
    for one in storage.list(f"{slug}/" if slug else ""):
        if key := naming.parse_key(one.key):
            found.setdefault((key.backup_id, key.slug), []).append(one)
    return [Folder(slug, backup_id, tuple(found[backup_id, slug])) for backup_id, slug in sorted(found, reverse=True)]


def read(storage: StorageAdapter, folder: Folder) -> StoredBackup:
    """Read a folder's manifest. Raises DamagedManifest, UnsupportedFormat, or BackupNotFound when there is none."""
    try:
        chunks = storage.get(naming.manifest_key(folder.key), length=_LARGEST_MANIFEST)
        written = b"".join(bytes(chunk) for chunk in chunks)
    except ObjectNotFound:
        raise BackupNotFound(
            f"{folder.key} on {storage.describe()} has no manifest: it was never finished",
            hint="take another backup; unfinished ones cannot be restored",
        ) from None
    manifest = Manifest.parse(written)
    slug = naming.job_slug(manifest.job.name, manifest.job.id)
    if (manifest.backup_id, slug) != (folder.backup_id, folder.slug):
        raise TamperedManifest(
            f"the manifest in {folder.key} on {storage.describe()} belongs to the backup {slug}/{manifest.backup_id}",
            hint="somebody moved or copied it; use another copy of this backup",
        )
    return StoredBackup(folder, manifest, written)


def backups(storage: StorageAdapter) -> Iterator[StoredBackup | tuple[Folder, DBackupError]]:
    """Every committed backup, newest first; one whose manifest cannot be read comes with the reason."""
    for folder in folders(storage):
        if folder.complete:
            try:
                yield read(storage, folder)
            except DBackupError as error:
                yield folder, error


def find(storage: StorageAdapter, reference: str, *, unfinished: bool = False) -> Folder:
    """The folder that a backup id, ``latest`` or ``<job>/latest`` means. Raises BackupNotFound.

    With ``unfinished``, a backup id may also mean what is left of a backup without its manifest.
    """
    job, _, last = reference.rpartition("/")
    for folder in folders(storage):
        if last == folder.backup_id and (folder.complete or unfinished):
            return folder
        if last == LATEST and folder.complete and _is_of(storage, folder, job):
            return folder
    raise BackupNotFound(
        f"there is no complete backup {reference} on {storage.describe()}",
        hint="see what there is with: dbackup list --at DEST",
    )


def _is_of(storage: StorageAdapter, folder: Folder, job: str) -> bool:
    """Whether a backup is of a job, by its name or slug; none means any. Only a folder that can be its own is read."""
    if job in ("", folder.slug):
        return True
    return naming.is_slug_of(folder.slug, job) and job == _job_name(storage, folder)


def _job_name(storage: StorageAdapter, folder: Folder) -> str | None:
    """The name in the manifest; a manifest that cannot be read does not stand in the way of other jobs' backups."""
    try:
        return read(storage, folder).manifest.job.name
    except DBackupError as error:
        log.warning("a manifest cannot be read", folder=folder.key, reason=error.message)
        return None


def resolve(storage: StorageAdapter, reference: str) -> StoredBackup:
    """The backup that a reference means, with its manifest. Raises BackupNotFound and what :func:`read` raises."""
    return read(storage, find(storage, reference))


def source_of(storage: StorageAdapter, reference: str) -> str:
    """The source that a backup was taken of, as :func:`resolve` finds it."""
    return resolve(storage, reference).manifest.source.name


def require_genuine(backup: StoredBackup, keys: Keyring) -> None:
    """Check who wrote the manifest. Raises TamperedManifest, or WrongKey when its key is not at hand."""
    authenticate(backup.written, keys)


def pinned(storage: StorageAdapter, folder: Folder) -> bool:
    """Whether a backup is pinned, by whatever has the name of the pin: an object, a folder, a symbolic link.

    Raises BackupLocked when nobody can say, so that what is not known is never deleted.
    """
    try:
        return folder.locked or storage.present(naming.lock_key(folder.key))
    except DBackupError as error:
        raise BackupLocked(
            f"whether {folder.backup_id} is pinned on {storage.describe()} cannot be read: {error.message}",
            hint=error.hint or "look at the destination; nothing is deleted while this cannot be read",
            permanent=error.permanent,
        ) from None


def lock(storage: StorageAdapter, folder: Folder) -> bool:
    """Pin a backup, so that it is never deleted; false when it was pinned already."""
    if pinned(storage, folder):
        return False
    storage.put(naming.lock_key(folder.key), [b""])
    return True


def unlock(storage: StorageAdapter, folder: Folder) -> bool:
    """Take the pin away; false when there was none. Raises BackupLocked for a pin that is no object."""
    if not pinned(storage, folder):
        return False
    if not folder.locked:
        raise BackupLocked(
            f"the pin of {folder.backup_id} on {storage.describe()} is a link, a folder or another thing of no backup",
            hint=f"look at {naming.lock_key(folder.key)} there, and remove it by hand",
        )
    storage.delete(naming.lock_key(folder.key))
    return True


def delete(storage: StorageAdapter, folder: Folder) -> None:
    """Remove a backup, its manifest first, so that a delete cut in the middle leaves an unfinished backup.

    Raises BackupLocked for a pinned one. The pin and the objects are looked up now: the folder may be an old list's.
    """
    if pinned(storage, folder):
        raise BackupLocked(
            f"{folder.backup_id} is pinned on {storage.describe()}",
            hint=f"unpin it first: dbackup unlock {folder.backup_id} --at DEST",
        )
    manifest = naming.manifest_key(folder.key)
    present = [one.key for one in storage.list(f"{folder.key}/") if naming.parse_key(one.key)]
    for key in sorted(present, key=lambda key: key != manifest):
        with suppress(ObjectNotFound):  # somebody else deletes it, too
            storage.delete(key)
    log.info("backup deleted", backup=folder.backup_id, storage=storage.describe())


def is_committed(storage: StorageAdapter, folder: Folder) -> bool:
    """Whether the backup's manifest is there now. Raises StorageError or ConnectionError where nobody can say."""
    return storage.present(naming.manifest_key(folder.key))


def note_verification(storage: StorageAdapter, folder: Folder, written: bytes) -> None:
    """Lay the result of a check beside the backup, where the last few stay.

    A destination that refuses is only noted in the log. Nothing is written beside a backup that is no more, and what
    was written while somebody deleted it is taken away again.
    """
    key = naming.verification_key(folder.key, datetime.now(UTC))
    try:
        if not is_committed(storage, folder):
            return
        storage.put(key, [written])
        if not is_committed(storage, folder):
            storage.delete(key)
    except DBackupError as error:
        log.warning("could not keep the result of the check beside the backup", reason=error.message)
        return
    _drop_old_results(storage, folder)


def _drop_old_results(storage: StorageAdapter, folder: Folder) -> None:
    """Delete all but the last few results of checks; where nothing may be deleted, they stay."""
    try:
        keys = sorted(
            one.key for one in storage.list(naming.verification_folder(folder.key)) if naming.parse_key(one.key)
        )
        for key in keys[:-KEPT_RESULTS]:
            with suppress(ObjectNotFound):
                storage.delete(key)
    except DBackupError as error:
        log.info("old results of checks stay beside the backup", backup=folder.backup_id, reason=error.message)
