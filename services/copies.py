"""Bringing a backup from one destination to another, as it is, without touching any database.

As a new backup does, a copy counts only when each of its files was proven where it went; its manifest is written last.
"""

from __future__ import annotations

from collections.abc import Iterator

from core import naming
from core.container import Keyring
from core.errors import ChecksumMismatch, ObjectExists
from core.log import logger
from core.manifest import ManifestFile
from core.streams import Chunk, Chunks, Digest, Meter, through
from services import progress, stored
from services.authorship import Authors
from services.backups import StoredBytes, commit, prove, read_back
from services.destinations import Destination
from services.stored import Folder, StoredBackup

log = logger(service="copies")


def holds(destination: Destination, folder: Folder) -> bool:
    """Whether a complete backup lies in this folder there. Raises what the storage raises."""
    manifest = naming.manifest_key(folder.key)
    return any(one.key == manifest for one in destination.storage.list(manifest))


def copy(backup: StoredBackup, origin: Destination, target: Destination) -> None:
    """Copy one backup that is :func:`genuine`, and prove the copy. Raises IntegrityError for one that is damaged, or
    what storages raise.

    Whatever happens, the target holds the whole backup or nothing that counts as one.
    """
    folder = backup.folder
    for file in backup.manifest.files:
        _copy_file(f"{folder.key}/{file.name}", file, origin, target)
    commit(target.storage, folder.key, backup.written)
    log.info("backup copied", backup=folder.backup_id, origin=origin.name, target=target.name)


def genuine(folder: Folder, origin: Destination, keys: Keyring) -> StoredBackup:
    """The backup at its origin, which must be what was written: a forged one is not to be spread.

    Raises BackupNotFound when it is not there, DamagedManifest or TamperedManifest.
    """
    backup = stored.read(origin.storage, folder)
    if backup.manifest.key_ids() <= keys.keys():
        stored.require_genuine(backup, keys)
    Authors(origin.storage).require_expected(backup)
    return backup


def _copy_file(key: str, file: ManifestFile, origin: Destination, target: Destination) -> None:
    """Copy one object. What a copy that broke off has left is used when it is whole, else written anew."""
    with progress.step(f"copy {file.name} → {target.name}", file.size) as advance:
        try:
            target.storage.put(key, through(origin.storage.get(key), _Proven(file, origin.name), Meter(advance)))
        except ObjectExists:
            if _is_whole(target, key, file):
                return
            target.storage.delete(key)
            target.storage.put(key, through(origin.storage.get(key), _Proven(file, origin.name)))
    prove(target.storage, key, file, target.name)


def _is_whole(destination: Destination, key: str, file: ManifestFile) -> bool:
    try:
        read_back(StoredBytes.at(destination.storage, key), file, destination.name)
    except ChecksumMismatch:
        return False
    return True


class _Proven:
    """A stage that raises after the last chunk unless all were what the manifest says: then nothing is published."""

    def __init__(self, file: ManifestFile, where: str) -> None:
        self._file, self._where = file, where

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        digest = Digest()
        yield from digest(chunks)
        if (digest.size, digest.sha256) != (self._file.size, self._file.sha256):
            raise ChecksumMismatch(
                f"{self._file.name} on {self._where} is not what was written there",
                hint="this copy is damaged: verify the backup, and take a new one",
            )
