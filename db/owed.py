"""Copies that are owed: a run brought its backup to some of its destinations and not to all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, select

from db.models import OwedRow
from db.session import Database


@dataclass(frozen=True)
class Owed:
    """One copy that is missing: which backup, in which folder, on which storage, since when and why."""

    backup_id: str
    storage: str
    folder: str
    since: datetime
    reason: str


class OwedCopies:
    """The list in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, backup_id: str, *, storage: str, folder: str, reason: str) -> None:
        """Know of one more copy that is missing."""
        row = OwedRow(
            backup_id=backup_id,
            storage=storage,
            folder=folder,
            job_slug=folder.partition("/")[0],
            since=datetime.now(UTC),
            reason=reason,
        )
        with self._database.session() as session:
            session.merge(row)

    def of_job(self, slug: str) -> Sequence[Owed]:
        """What a job owes, the oldest first."""
        query = select(OwedRow).where(OwedRow.job_slug == slug).order_by(OwedRow.backup_id, OwedRow.storage)
        with self._database.session() as session:
            return [
                Owed(row.backup_id, row.storage, row.folder, row.since, row.reason) for row in session.scalars(query)
            ]

    def by_storage(self) -> Mapping[str, int]:
        """How many copies each storage is owed."""
        query = select(OwedRow.storage, func.count()).group_by(OwedRow.storage)
        with self._database.session() as session:
            return dict(session.execute(query).tuples().all())

    def settled(self, backup_id: str, storage: str) -> bool:
        """The copy is there, or nobody wants it, or there is nothing left to make it from; false if none was owed."""
        here = OwedRow.backup_id == backup_id, OwedRow.storage == storage
        with self._database.session() as session:
            return bool(session.scalars(delete(OwedRow).where(*here).returning(OwedRow.backup_id)).all())
