"""The steps of an integrity check: scan the destinations, then check each backup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blocks import saved
from blocks.addresses import keyring, open_storage
from blocks.saved import Kind
from core.container import ProfileKey
from core.errors import ConfigurationError, DBackupError
from core.jobs import Address, IntegritySpec
from core.log import logger
from core.ports import StorageAdapter
from core.reports import CheckedBackup
from services import integrity, stored
from services.records import catalog
from services.stored import Folder
from tasks.step import step

log = logger(service="integrity")


@dataclass(frozen=True)
class Target:
    """One backup on one destination, to be checked."""

    name: str
    storage: StorageAdapter
    folder: Folder


@dataclass(frozen=True)
class Scan:
    """What there is to check, and the keys to check it with."""

    targets: tuple[Target, ...]
    keys: Mapping[str, ProfileKey]


@step("scan")
def scan(wish: IntegritySpec) -> Scan:
    """List the destinations. Raises when one cannot be listed: a check of a part would look like one of all."""
    addresses = wish.storages or tuple(map(Address, saved.everything(Kind.STORAGE)))
    if not addresses:
        raise ConfigurationError(
            "no storage is saved, so there is nothing to check",
            hint="name one with --at, or save one: dbackup storage add NAME URL",
        )
    return Scan(tuple(target for address in addresses for target in _targets(address, wish.backup)), keyring())


def _targets(address: Address, reference: str | None) -> list[Target]:
    storage = open_storage(address)
    name = str(address) if address.is_name else storage.describe()
    found = [stored.find(storage, reference)] if reference else stored.folders(storage)
    return [Target(name, storage, folder) for folder in found]


@step("verify", "verify {target.folder.backup_id} on {target.name}")
def verify(target: Target, keys: Mapping[str, ProfileKey]) -> CheckedBackup:
    """Check one backup, and lay the result beside it and in the catalog."""
    result = integrity.check(target.storage, target.name, target.folder, keys)
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
