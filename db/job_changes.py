"""Which jobs were changed, and in which order: how whoever remembers jobs knows that they have to look again."""

from __future__ import annotations

from sqlalchemy import func, select

from db.models import JobChangeRow
from db.session import Database
from db.upserts import insert_into


class JobChanges:
    """The changes in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, job: str) -> None:
        """A job was made, changed or deleted, after which it is numbered higher than every other."""
        highest = select(func.coalesce(func.max(JobChangeRow.number), 0) + 1).scalar_subquery()
        with self._database.session() as session:
            statement = insert_into(session, JobChangeRow).values(job=job, number=highest)
            session.execute(statement.on_conflict_do_update(index_elements=["job"], set_={"number": highest}))

    def newest(self) -> int:
        """The number of the newest change; 0 while there was none."""
        with self._database.session() as session:
            return int(session.scalar(select(func.coalesce(func.max(JobChangeRow.number), 0))) or 0)

    def since(self, number: int) -> dict[str, int]:
        """The jobs that were changed after the change of this number, each with its newest."""
        query = select(JobChangeRow.job, JobChangeRow.number).where(JobChangeRow.number > number)
        with self._database.session() as session:
            return dict(session.execute(query).tuples().all())
