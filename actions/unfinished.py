"""Databases that killed restores have left on a source: seen, and removed when somebody says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from actions.door import Identity, action
from blocks.addresses import open_source
from core.errors import DBackupError
from core.jobs import Address
from core.permissions import Permission
from core.ports import DatabaseAdapter
from core.settings import settings
from services import janitor
from services.janitor import Judged
from services.workspace import alive


@dataclass(frozen=True)
class Found:
    """What restores have left on a source, which calls itself ``server``, and why it stays."""

    server: str
    databases: tuple[Judged, ...]


@action(Permission.SOURCES_READ, target=lambda at: at.shown)
def found(who: Identity, at: Address) -> Found:
    """What restores have left on a source. Raises what the engine raises."""
    who.require(Permission.SOURCES_READ, at)
    source = open_source(at)
    return Found(source.describe(), tuple(_judged(source)))


@action(Permission.BACKUPS_RESTORE, target=lambda at, names: f"{', '.join(names)} on {at.shown}")
def remove(who: Identity, at: Address, names: Sequence[str]) -> dict[str, str]:
    """Remove what somebody has seen, by name; gives for each why it stays, or nothing when it is gone.

    Each is judged anew, and the server is asked once more when it is dropped.
    """
    who.require(Permission.BACKUPS_RESTORE, at)
    source = open_source(at)
    return {one.database.name: _removed(source, one) for one in _judged(source) if one.database.name in names}


def _judged(source: DatabaseAdapter) -> list[Judged]:
    return janitor.unfinished_databases(source, alive(settings().runs), datetime.now(UTC))


def _removed(source: DatabaseAdapter, one: Judged) -> str:
    try:
        janitor.drop(source, one)
    except DBackupError as error:
        return one.stays or error.message
    return ""
