"""Proving that what lies on a destination is still what was written.

Every byte is read back over the network, also where the server could hash it. Right after an upload the server's word
is enough to say that the disk has what was sent; a check that somebody asks for is to show what a restore would get:
by the same way, from a server that may have been taken over since and can answer with any hash it likes.
"""

from __future__ import annotations

from core.container import Keyring, unseal
from core.errors import DBackupError, IntegrityError, ObjectNotFound, TruncatedObject, WrongKey
from core.log import logger
from core.manifest import ManifestFile
from core.ports import StorageAdapter
from core.reports import CheckedBackup
from core.streams import through
from db.catalog import Entry
from services import stored
from services.authorship import Authors
from services.backups import READ_BACK, StoredBytes, read_back
from services.stored import Folder, StoredBackup

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
log = logger(service="integrity")


def missing(name: str, backup: Entry) -> CheckedBackup:
    """What is found of a backup that the catalog knows on a destination, and that is no longer there."""
    job = backup.manifest.job.name
    log.error("backup is missing", backup=backup.manifest.backup_id, storage=name)
    return CheckedBackup(
        storage=name,
        backup_id=backup.manifest.backup_id,
        job=job,
        outcome=FAILED,
        reason="it is missing: the catalog knows it here, and its manifest is gone",
        hint="restore from another copy; if you removed it yourself, say so with: dbackup catalog rebuild",
    )


def vanished(storage: StorageAdapter, folder: Folder) -> bool:
    """Whether a backup that could not be checked has been deleted since it was listed.

    A destination that cannot say so has not lost it.
    """
    try:
        return not stored.is_committed(storage, folder)
    except DBackupError:
        return False


def deleted_meanwhile(found: CheckedBackup) -> CheckedBackup:
    """What is found of a backup that was deleted on purpose, by retention or by hand, while the check was under way."""
    log.info("backup was deleted meanwhile", backup=found.backup_id, storage=found.storage)
    changed = {"outcome": SKIPPED, "method": "", "reason": "it was deleted meanwhile", "hint": ""}
    return found.model_copy(update=changed)


def check(storage: StorageAdapter, name: str, folder: Folder, keys: Keyring, authors: Authors) -> CheckedBackup:
    """Check one backup on one destination: its manifest, then every byte. Never raises for what it finds.

    Without the key at hand the bytes are still compared with the manifest, but who wrote the manifest is not
    known; the reason says so.
    """
    result = CheckedBackup(storage=name, backup_id=folder.backup_id, job=folder.slug, size=folder.size, outcome=SKIPPED)
    if not folder.complete:
        return result.model_copy(update={"reason": "it has no manifest: it was never finished"})
    try:
        backup = stored.read(storage, folder)
        unknown_author = _author_unknown(backup, keys)
        authors.require_expected(backup)
        for file in backup.manifest.files:
            _check_file(storage, f"{folder.key}/{file.name}", file, keys)
    except DBackupError as error:
        what = "backup is damaged" if isinstance(error, IntegrityError) else "backup could not be checked"
        log.error(what, backup=folder.backup_id, storage=name, reason=error.message)
        failed = {"outcome": FAILED, "method": READ_BACK, "reason": error.message, "hint": error.hint}
        return result.model_copy(update=failed)
    incomplete = f"it never held {', '.join(backup.manifest.missing)}" if backup.manifest.missing else ""
    reason = "; ".join(filter(None, [unknown_author, incomplete]))
    known = {"job": backup.manifest.job.name, "missing": backup.manifest.missing}
    return result.model_copy(update={"outcome": PASSED, "method": READ_BACK, "reason": reason, **known})


def _author_unknown(backup: StoredBackup, keys: Keyring) -> str:
    try:
        stored.require_genuine(backup, keys)
    except WrongKey as error:
        return f"bytes are as the manifest says, but the manifest itself could not be authenticated: {error.message}"
    return ""


def _check_file(storage: StorageAdapter, key: str, file: ManifestFile, keys: Keyring) -> None:
    try:
        read_back(StoredBytes.at(storage, key), file)
    except ObjectNotFound:
        raise TruncatedObject(
            f"{file.name} is missing from the backup", hint="restore from another copy of this backup"
        ) from None
    except IntegrityError as mismatch:
        raise _diagnosed(storage, key, file, keys) or mismatch from None


def _diagnosed(storage: StorageAdapter, key: str, file: ManifestFile, keys: Keyring) -> IntegrityError | None:
    """What exactly is wrong with an encrypted object, where its chunks can tell."""
    if file.encryption is None or file.encryption.key_id not in keys:
        return None
    try:
        for _ in through(storage.get(key), unseal(keys)):
            pass
    except IntegrityError as error:
        return error
    except DBackupError:  # a changed key id in the header, for example; the checksum has told already
        return None
    return None
