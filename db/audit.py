"""The audit: entries are added and read, and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, tuple_
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
    """Which entries: of one person, of one action or of all that begin with it, with one result, of a span of time.

    ``until`` is the first moment that is wanted no longer.
    """

    since: datetime | None = None
    who: str = ""
    action: str = ""
    result: str = ""
    until: datetime | None = None


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
        query = select(AuditRow).where(*_chosen(wanted)).order_by(*_NEWEST_FIRST)
        with self._database.session() as session:
            return [_entry(row) for row in session.scalars(query.limit(limit).offset(offset))]

    def count(self, wanted: Wanted) -> int:
        """How many entries there are."""
        with self._database.session() as session:
            return session.scalar(select(func.count()).select_from(AuditRow).where(*_chosen(wanted))) or 0

    def every(self, wanted: Wanted, *, at_once: int = 1000) -> Iterator[Entry]:
        """All entries, newest first, so many of them in memory at once. What is added meanwhile is not among them."""
        after: list[ColumnElement[bool]] = []
        while True:
            query = select(AuditRow).where(*_chosen(wanted), *after).order_by(*_NEWEST_FIRST)
            with self._database.session() as session:
                rows = session.scalars(query.limit(at_once)).all()
            yield from map(_entry, rows)
            if len(rows) < at_once:
                return
            after = [tuple_(AuditRow.moment, AuditRow.number) < (rows[-1].moment, rows[-1].number)]


_NEWEST_FIRST = (AuditRow.moment.desc(), AuditRow.number.desc())


def _chosen(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since:
        conditions.append(AuditRow.moment >= wanted.since)
    if wanted.until:
        conditions.append(AuditRow.moment < wanted.until)
    if wanted.who:
        conditions.append(AuditRow.who == wanted.who)
    if wanted.action:
        conditions.append(AuditRow.action.startswith(wanted.action, autoescape=True))
    if wanted.result:
        conditions.append(AuditRow.result == wanted.result)
    return conditions


def _entry(row: AuditRow) -> Entry:
    return Entry(row.moment, row.who, row.action, row.target, row.origin, row.result, row.reason)


def add(session: Session, entry: Entry) -> None:
    """Add an entry in the caller's transaction: it is there exactly when what it tells of is."""
    session.add(AuditRow(**vars(entry)))
