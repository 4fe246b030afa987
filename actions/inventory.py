"""What the catalog holds, page by page, as far as one may see it: no storage is asked, and no list is read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from actions.door import Identity, action
from core.errors import BackupNotFound
from core.manifest import Manifest
from core.permissions import Permission
from db.catalog import Verification
from db.inventory import Held, Wanted
from services.records import catalog, inventory


@dataclass(frozen=True)
class Found:
    """A page of backups, newest first, and how many there are on all pages."""

    rows: tuple[Held, ...]
    total: int


@dataclass(frozen=True)
class Choices:
    """What a list of backups can be narrowed down to."""

    jobs: tuple[str, ...]
    storages: tuple[str, ...]


@dataclass(frozen=True)
class Detail:
    """One backup: its copies, its manifest, and every check of a copy, newest first."""

    held: Held
    manifest: Manifest
    checks: Sequence[Verification]


@action(Permission.BACKUPS_READ)
def search(who: Identity, wanted: Wanted, *, limit: int = 50, offset: int = 0) -> Found:
    """A page of the backups that fit and that one may see."""
    mine = replace(wanted, sources=_within(who))
    return Found(tuple(inventory().search(mine, limit=limit, offset=offset)), inventory().count(mine))


@action(Permission.BACKUPS_READ)
def choices(who: Identity) -> Choices:
    """The jobs and storages that have backups which one may see."""
    sources = _within(who)
    return Choices(tuple(inventory().jobs(sources)), tuple(inventory().storages(sources)))


@action(Permission.BACKUPS_READ)
def detail(who: Identity, backup_id: str) -> Detail:
    """Everything that is known of one backup. Raises BackupNotFound."""
    with who.concealing(Permission.BACKUPS_READ):
        held = _held(backup_id)
    who.require(Permission.BACKUPS_READ, held.source)
    return Detail(held, catalog().find(backup_id).manifest, catalog().verifications(backup_id))


def _held(backup_id: str) -> Held:
    held = inventory().get(backup_id)
    if held is None:
        raise BackupNotFound(
            f"the catalog knows no backup {backup_id}",
            hint="it may have been deleted; see what there is on the page Backups",
        )
    return held


def _within(who: Identity) -> frozenset[str] | None:
    return who.rights.limits.get(Permission.BACKUPS_READ)
