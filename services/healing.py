"""Paying what is owed: a backup that did not reach one of its destinations is brought there from another.

What is owed is known from the runs themselves, so a backup that somebody deleted on purpose is never brought back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.container import Keyring
from core.errors import BackupNotFound, DBackupError
from core.log import logger
from core.reports import Healed
from db.owed import Owed
from services import copies
from services.destinations import Destination
from services.records import catalog, owed_copies
from services.stored import Folder, StoredBackup

log = logger(service="healing")


def heal(slug: str, destinations: Sequence[Destination], *, all_answer: bool, keys: Keyring) -> Iterator[Healed]:
    """Bring every copy that a job owes to the destinations that are open. Never raises for one that cannot be brought.

    ``all_answer`` says that every destination of the job is among them: then a backup that none of them holds is gone,
    and is owed no longer.
    """
    by_name = {one.name: one for one in destinations}
    for owed in owed_copies().of_job(slug):
        if owed.storage in by_name:
            target = by_name[owed.storage]
            origins = [one for one in destinations if one.name != owed.storage]
            yield _paid(owed, target, origins, all_answer=all_answer, keys=keys)


def _paid(owed: Owed, target: Destination, origins: list[Destination], *, all_answer: bool, keys: Keyring) -> Healed:
    healed = Healed(backup_id=owed.backup_id, storage=owed.storage)
    folder = Folder(owed.folder.partition("/")[0], owed.backup_id, ())
    try:
        origin, backup = _brought(folder, target, origins, keys)
        catalog().record(backup.manifest, backup.written, storage=target.name, folder=folder.key)
        owed_copies().settled(owed.backup_id, owed.storage)
    except BackupNotFound as error:
        if all_answer:
            owed_copies().settled(owed.backup_id, owed.storage)
            log.warning("a copy that was owed can no longer be made", backup=owed.backup_id, storage=owed.storage)
        return healed.model_copy(update={"reason": error.message})
    except DBackupError as error:
        log.warning("a destination could not be healed", storage=owed.storage, reason=error.message)
        return healed.model_copy(update={"reason": error.message})
    return healed.model_copy(update={"origin": origin.name, "complete": True})


def _brought(
    folder: Folder, target: Destination, origins: Sequence[Destination], keys: Keyring
) -> tuple[Destination, StoredBackup]:
    """The backup on its target, and where it came from: the first origin that holds it whole, or the target itself.

    Raises why the last origin that holds it could not be copied, or BackupNotFound when none holds it.
    """
    if copies.holds(target, folder):
        return target, copies.genuine(folder, target, keys)
    failure: DBackupError = BackupNotFound(
        f"none of the destinations that answer holds {folder.backup_id}",
        hint="when all of them answer and none has it, there is nothing left to copy",
    )
    for origin in origins:
        try:
            return origin, copies.copy(folder, origin, target, keys)
        except BackupNotFound:
            continue
        except DBackupError as error:
            failure = error
            log.warning("a copy could not be made", origin=origin.name, reason=error.message)
    raise failure


def owe(manifest_folder: str, backup_id: str, missing: Sequence[tuple[str, str]]) -> None:
    """Know that a backup did not reach these destinations, each with the reason. A broken catalog is only noted."""
    try:
        for storage, reason in missing:
            owed_copies().note(backup_id, storage=storage, folder=manifest_folder, reason=reason)
    except DBackupError as error:
        log.warning("it could not be noted that a copy is owed", backup=backup_id, reason=error.message)
