"""The audit: who did what, to what, when, from where, and with what result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actions.door import Identity, action
from core.permissions import Permission
from db.audit import Entry, Wanted
from services.records import audit


@action(Permission.AUDIT_READ)
def entries(who: Identity, wanted: Wanted, *, limit: int = 50, offset: int = 0) -> Sequence[Entry]:
    """Entries, newest first."""
    return audit().entries(wanted, limit=limit, offset=offset)


@action(Permission.AUDIT_READ)
def count(who: Identity, wanted: Wanted) -> int:
    """How many entries there are."""
    return audit().count(wanted)


@action(Permission.AUDIT_READ)
def every(who: Identity, wanted: Wanted) -> Iterator[Entry]:
    """All entries, newest first, read from the database as they are drawn."""
    return audit().every(wanted)
