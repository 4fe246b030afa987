"""One file of a stored backup, streamed to whoever takes it away: as it lies there, or decrypted and decompressed.

Nothing is kept on a disk and nothing is held in memory. So what is wrong with the bytes may show only when most of
them have gone: then the stream breaks off, and never ends as if it were whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core import naming
from core.compression import Algorithm, decompress
from core.container import Keyring, unseal
from core.errors import BackupNotFound, ChecksumMismatch, WrongKey
from core.manifest import ManifestFile
from core.ports import StorageAdapter
from core.streams import Chunk, Chunks, Digest, Stage, through
from services.stored import StoredBackup


class Form(StrEnum):
    """How a file is taken away."""

    STORED = "stored"  # the bytes that lie on the storage
    PLAIN = "plain"  # what the dump tool wrote


@dataclass(frozen=True)
class Takeaway:
    """A file on its way: what to call it, how many bytes it has where that is known, and the bytes, once."""

    name: str
    size: int | None
    chunks: Chunks = field(repr=False)


def file_of(backup: StoredBackup, name: str) -> ManifestFile:
    """The file of this name in a backup. Only what the manifest lists has a name. Raises BackupNotFound."""
    for file in backup.manifest.files:
        if file.name == name:
            return file
    raise BackupNotFound(
        f"{backup.manifest.backup_id} has no file {name!r}",
        hint=f"it has: {', '.join(file.name for file in backup.manifest.files)}",
    )


def manifest_of(backup: StoredBackup) -> Takeaway:
    """The manifest, as it was read."""
    return Takeaway(_called(backup, naming.MANIFEST), len(backup.written), [backup.written])


def stored_file(storage: StorageAdapter, backup: StoredBackup, file: ManifestFile) -> Takeaway:
    """The file as it lies there. Drawing raises ChecksumMismatch in the end unless it is what was written."""
    return Takeaway(_called(backup, file.name), file.size, _proven(storage, backup, file))


def plain_file(storage: StorageAdapter, backup: StoredBackup, file: ManifestFile, keys: Keyring) -> Takeaway:
    """What the dump tool wrote. Raises WrongKey; drawing raises IntegrityError for what was damaged."""
    if file.encryption and file.encryption.key_id not in keys:
        raise WrongKey(
            f"{file.name} is sealed with the key {file.encryption.key_id} of profile {file.encryption.profile!r}, "
            "which is not here",
            hint="bring the key back with: dbackup key import FILE",
        )
    unsealing: Sequence[Stage] = [unseal(keys)] if file.encryption else []
    chunks = through(_proven(storage, backup, file), *unsealing, decompress(file.compression))
    return Takeaway(_called(backup, plain_name(file)), file.dump_size, chunks)


def plain_name(file: ManifestFile) -> str:
    """What a file is called without compression and encryption."""
    name = file.name.removesuffix(naming.ENCRYPTED) if file.encryption else file.name
    return name if file.compression is Algorithm.NONE else name.removesuffix(file.compression.suffix)


def _called(backup: StoredBackup, name: str) -> str:
    """A name that tells backups apart in a folder of downloads."""
    return f"{backup.folder.slug}-{backup.manifest.backup_id}-{name}"


def _proven(storage: StorageAdapter, backup: StoredBackup, file: ManifestFile) -> Iterator[Chunk]:
    """The stored bytes; the end comes only when they are proven to be those that were written."""
    found, key = Digest(), f"{backup.folder.key}/{file.name}"
    yield from found(storage.get(key))
    if (found.size, found.sha256) != (file.size, file.sha256):
        raise ChecksumMismatch(
            f"{key} on {storage.describe()} holds {found.size:,} bytes with SHA-256 {found.sha256[:16]}…, "
            f"but {file.size:,} bytes with {file.sha256[:16]}… were written",
            hint="do not rely on this copy; take another one",
        )
