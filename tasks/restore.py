"""The steps of a restore: resolve, download, verify, restore, compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blocks.addresses import keyring, open_source, open_storage
from core.container import ProfileKey
from core.errors import TamperedManifest
from core.jobs import RestoreSpec
from core.log import logger
from core.ports import DatabaseAdapter, Restoration, StorageAdapter
from core.reports import RestoredDatabase
from services import restores, stored
from services.authorship import Authors
from services.backups import StoredBytes, read_back
from services.restores import Piece, Wish
from services.stored import StoredBackup
from tasks.step import step

log = logger(service="restore")


@dataclass(frozen=True)
class Resolved:
    """What is going to be restored, everything opened and checked that can be known before a byte moves."""

    backup_id: str
    job: str
    source: str
    missing: tuple[str, ...]
    storage: StorageAdapter
    target: DatabaseAdapter
    pieces: tuple[Piece, ...]
    keys: Mapping[str, ProfileKey]


@step("resolve")
def resolve(wish: RestoreSpec) -> Resolved:
    """Find the backup, authenticate its manifest, and ask the target whether it can take what is to come."""
    storage, target = open_storage(wish.storage), open_source(wish.target)
    backup = stored.resolve(storage, wish.backup)
    keys = keyring() if any(file.encryption for file in backup.manifest.files) else {}
    pieces = tuple(restores.pieces(backup, target, Wish.of(wish)))
    for piece in pieces:
        restores.require_keys(piece, keys)
    _authenticate(storage, backup, keys, accept_tampered=wish.accept_tampered)
    for piece in pieces:
        target.check_restore(piece.target)
    log.info("restore planned", backup=backup.manifest.backup_id, databases=len(pieces))
    manifest = backup.manifest
    return Resolved(
        manifest.backup_id, manifest.job.name, manifest.source.name, manifest.missing, storage, target, pieces, keys
    )


def _authenticate(
    storage: StorageAdapter, backup: StoredBackup, keys: Mapping[str, ProfileKey], *, accept_tampered: bool
) -> None:
    try:
        Authors(storage).require(backup, keys)
    except TamperedManifest as error:
        if not accept_tampered:
            raise
        log.warning("the backup may not be genuine, and that was accepted", reason=error.message)


@step("download", "download {piece.file.name}")
def download(resolved: Resolved, piece: Piece, folder: Path) -> StoredBytes:
    """Bring the file where it can be read twice."""
    return restores.fetch(resolved.storage, piece, folder)


@step("verify", "verify {piece.file.name}")
def verify(piece: Piece, file: StoredBytes) -> None:
    """Compare the whole file with the manifest before any of it is used."""
    read_back(file, piece.file)


@step("restore", "restore {piece.target.label}")
def restore(resolved: Resolved, piece: Piece, file: StoredBytes, restoration: Restoration) -> None:
    """Load the dump beside the target."""
    restores.load(restoration, file, piece, resolved.keys)


@step("compare", "compare {piece.target.label}")
def compare(piece: Piece, restoration: Restoration) -> RestoredDatabase:
    """Compare what came back with the manifest, and put it in the target's place."""
    return restores.compare_and_publish(restoration, piece)
