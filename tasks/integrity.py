"""The steps of an integrity check: scan the destinations, then check each backup."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from blocks import saved
from blocks.addresses import keyring, open_storage
from blocks.saved import Kind
from core.container import ProfileKey
from core.errors import ConfigurationError, DBackupError
from core.jobs import Address, IntegritySpec
from core.log import logger
from core.ports import StorageAdapter
from core.reports import CheckedBackup, Failure
from db.catalog import Entry
from services import integrity, stored
from services.authorship import Authors
from services.records import catalog
from services.stored import Folder
from tasks.step import step

PATIENCE = (0.0, 0.2, 0.4, 0.8, 1.6)  # seconds between looks into the catalog
log = logger(service="integrity")


@dataclass(frozen=True)
class Target:
    """One backup on one destination, to be checked."""

    name: str
    storage: StorageAdapter
    folder: Folder
    authors: Authors


@dataclass(frozen=True)
class Scan:
    """What there is to check, what should be there and is not, where nobody could look, and the keys to check with."""

    targets: tuple[Target, ...]
    missing: tuple[CheckedBackup, ...]
    unread: tuple[Failure, ...]
    keys: Mapping[str, ProfileKey]


@step("scan")
def scan(wish: IntegritySpec) -> Scan:
    """List the destinations. One of several that cannot be listed keeps nobody from a check of the others, and is told.

    Raises what the first one raises when none can be listed, and BackupNotFound.
    """
    addresses = wish.storages or tuple(map(Address, saved.everything(Kind.STORAGE)))
    if not addresses:
        raise ConfigurationError(
            "no storage is saved, so there is nothing to check",
            hint="name one with --at, or save one: dbackup storage add NAME URL",
        )
    targets, missing, unread = list[Target](), list[CheckedBackup](), list[Failure]()
    for address in addresses:
        try:
            there, gone = _scanned(address, wish.backup)
        except DBackupError as error:
            if wish.backup or len(unread) + 1 == len(addresses):
                raise
            unread.append(Failure.of(_called(address), error))
        else:
            targets += there
            missing += gone
    return Scan(tuple(targets), tuple(missing), tuple(unread), keyring())


def _called(address: Address) -> str:
    """What people call a destination: its name, or what its adapter says of itself."""
    return str(address) if address.is_name else open_storage(address).describe()


def _scanned(address: Address, backup: str | None) -> tuple[list[Target], list[CheckedBackup]]:
    """What there is to check on one destination, and what should be there and is not."""
    storage, name = open_storage(address), _called(address)
    known = {} if backup else _known(name)  # before the listing: what is committed meanwhile is in both
    found = [stored.find(storage, backup)] if backup else stored.folders(storage)
    gone = _gone(known, found, name)
    authors = Authors(storage)
    targets = [Target(name, storage, one, authors) for one in found if one.backup_id not in gone]
    return targets, [integrity.missing(name, entry) for entry in gone.values()]


def _known(name: str) -> dict[str, Entry]:
    """What the catalog knows on a storage. A catalog that fails keeps nobody from a check."""
    try:
        return {entry.manifest.backup_id: entry for entry in catalog().on_storage(name)}
    except DBackupError as error:
        log.warning("what lies there could not be compared with the catalog", reason=error.message)
        return {}


def _gone(known: Mapping[str, Entry], found: Sequence[Folder], name: str) -> dict[str, Entry]:
    """What the catalog knew before the listing and knows still, and the listing does not show as finished."""
    complete = {folder.backup_id for folder in found if folder.complete}
    return _still_known(name, known.keys() - complete)


def _still_known(name: str, gone: Collection[str]) -> dict[str, Entry]:
    """Those of the backups which are gone that the catalog goes on expecting on a storage.

    Who deletes a backup tells the catalog when all of it is gone, so it is asked for a few seconds.
    """
    expected: dict[str, Entry] = {}
    for pause in PATIENCE if gone else ():
        time.sleep(pause)
        known = _known(name)
        expected = {backup_id: known[backup_id] for backup_id in gone if backup_id in known}
        if not expected:
            break
    return expected


@step("verify", "verify {target.folder.backup_id} on {target.name}")
def verify(target: Target, keys: Mapping[str, ProfileKey]) -> CheckedBackup:
    """Check one backup, and lay the result beside it and in the catalog."""
    result = integrity.check(target.storage, target.name, target.folder, keys, target.authors)
    if result.outcome == integrity.FAILED and integrity.vanished(target.storage, target.folder):
        entry = _still_known(target.name, {result.backup_id}).get(result.backup_id)
        result = integrity.missing(target.name, entry) if entry else integrity.deleted_meanwhile(result)
    if result.outcome != integrity.SKIPPED:
        stored.note_verification(target.storage, target.folder, result.model_dump_json().encode())
        _record(result)
    return result


def _record(result: CheckedBackup) -> None:
    try:
        catalog().verified(
            result.backup_id,
            storage=result.storage,
            method=result.method,
            passed=result.outcome == integrity.PASSED,
            detail=result.reason,
        )
    except DBackupError as error:
        log.warning("the catalog does not know of this check", reason=error.message)
