"""The audit: entries are added and read, and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.account_models import AuditRow
from db.session import Database


@dataclass(frozen=True)
class Entry:
    """Who did what, to what, when, from where. ``result`` is done, failed or refused; ``reason`` says why."""

    moment: datetime
    who: str
    action: str
    target: str
    origin: str
    result: str
    reason: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which entries: since a moment (or None), of one person, of one action or of all that begin with it."""

    since: datetime | None = None
    who: str = ""
    action: str = ""


class Audit:
    """The entries in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, entry: Entry) -> None:
        """Add an entry."""
        with self._database.session() as session:
            add(session, entry)

    def entries(self, wanted: Wanted, *, limit: int, offset: int = 0) -> Sequence[Entry]:
        """Entries, newest first."""
        query = select(AuditRow).order_by(AuditRow.moment.desc(), AuditRow.number.desc())
        if wanted.since:
            query = query.where(AuditRow.moment >= wanted.since)
        if wanted.who:
            query = query.where(AuditRow.who == wanted.who)
        if wanted.action:
            query = query.where(AuditRow.action.startswith(wanted.action, autoescape=True))
        with self._database.session() as session:
            return [
                Entry(row.moment, row.who, row.action, row.target, row.origin, row.result, row.reason)
                for row in session.scalars(query.limit(limit).offset(offset))
            ]


def add(session: Session, entry: Entry) -> None:
    """Add an entry in the caller's transaction: it is there exactly when what it tells of is."""
    session.add(AuditRow(**vars(entry)))
