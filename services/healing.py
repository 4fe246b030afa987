"""Paying what is owed: a backup that did not reach one of its destinations is brought there from another.

What is owed is known from the runs themselves, so a backup that somebody deleted on purpose is never brought back. What
retention would delete there at once is not copied: it is written off. The newest is brought first, so that what it
makes needless is known then. Where retention cannot decide, the copy is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.container import Keyring
from core.errors import BackupNotFound, DBackupError
from core.log import logger
from core.reports import Healed
from db.owed import Owed
from services import copies, retention
from services.candidates import Rules
from services.destinations import Destination
from services.records import catalog, owed_copies
from services.stored import Folder, StoredBackup

log = logger(service="healing")


@dataclass(frozen=True)
class Healing:
    """What heals a job: its destinations that are open, and whether these are all; the keys, and its rules.

    When all of them answer, a backup that none of them holds is gone, and is owed no longer. ``rules`` gives those of
    a destination by its name.
    """

    destinations: Sequence[Destination]
    all_answer: bool
    keys: Keyring
    rules: Callable[[str], Rules]


def heal(slug: str, healing: Healing) -> Iterator[Healed]:
    """Bring every copy that a job owes to the destinations that are open. Never raises for one that cannot be brought.

    Raises ConfigurationError when the database cannot say what is owed.
    """
    by_name = {one.name: one for one in healing.destinations}
    for owed in sorted(owed_copies().of_job(slug), key=lambda one: one.backup_id, reverse=True):
        if owed.storage in by_name:
            yield _paid(owed, by_name[owed.storage], healing)


def _paid(owed: Owed, target: Destination, healing: Healing) -> Healed:
    healed = Healed(backup_id=owed.backup_id, storage=owed.storage)
    folder = Folder(owed.folder.partition("/")[0], owed.backup_id, ())
    try:
        origin, backup = _brought(folder, target, healing)
        catalog().record(backup.manifest, backup.written, storage=target.name, folder=folder.key)
        owed_copies().settled(owed.backup_id, owed.storage)
    except _NotWanted as error:
        return _written_off(healed, error)
    except BackupNotFound as error:
        if healing.all_answer:
            owed_copies().settled(owed.backup_id, owed.storage)
            log.warning("a copy that was owed can no longer be made", backup=owed.backup_id, storage=owed.storage)
        return healed.model_copy(update={"reason": error.message})
    except DBackupError as error:
        log.warning("a destination could not be healed", storage=owed.storage, reason=error.message)
        return healed.model_copy(update={"reason": error.message})
    return healed.model_copy(update={"origin": origin.name, "complete": True})


class _NotWanted(Exception):
    """Retention would delete the copy at once."""


def _written_off(healed: Healed, why: _NotWanted) -> Healed:
    """A copy that nobody wants any more. Where that cannot be noted, it stays owed, and is looked at again."""
    reason = f"not copied, retention would delete it there at once: {why}"
    log.info("a copy that was owed is written off", backup=healed.backup_id, storage=healed.storage, reason=reason)
    try:
        owed_copies().settled(healed.backup_id, healed.storage)
    except DBackupError as error:
        return healed.model_copy(update={"reason": error.message})
    return healed.model_copy(update={"written_off": True, "reason": reason})


def _require_wanted(backup: StoredBackup, target: Destination, healing: Healing) -> None:
    """Raise _NotWanted for what retention would delete on the target at once."""
    try:
        rules = healing.rules(target.name)
        decision = retention.wanted(target, backup.manifest, rules, lambda: healing.keys)
    except DBackupError as error:
        log.warning("retention cannot decide about an owed copy, so it is made", reason=error.message)
        return
    if not decision.keep:
        raise _NotWanted("; ".join(decision.reasons))


def _brought(folder: Folder, target: Destination, healing: Healing) -> tuple[Destination, StoredBackup]:
    """The backup on its target, and where it came from: the first origin that holds it whole, or the target itself.

    Raises why the last origin that holds it could not be copied, BackupNotFound when none holds it, or _NotWanted.
    """
    if copies.holds(target, folder):
        return target, copies.genuine(folder, target, healing.keys)
    failure: DBackupError = BackupNotFound(
        f"none of the destinations that answer holds {folder.backup_id}",
        hint="when all of them answer and none has it, there is nothing left to copy",
    )
    for origin in (one for one in healing.destinations if one.name != target.name):
        try:
            backup = copies.genuine(folder, origin, healing.keys)
            _require_wanted(backup, target, healing)
            copies.copy(backup, origin, target)
            return origin, backup
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
