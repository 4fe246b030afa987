"""Which channel was told, and when, that a job is overdue, for as long as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select

from db.models import AlarmRow
from db.session import Database


class Alarms:
    """The list in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job: str) -> Mapping[str, datetime]:
        """When each channel was last told that a job is overdue."""
        with self._database.session() as session:
            return {row.channel: row.told_at for row in session.scalars(select(AlarmRow).where(AlarmRow.job == job))}

    def told(self, job: str, channel: str, moment: datetime) -> None:
        """A channel was told at this moment."""
        with self._database.session() as session:
            session.merge(AlarmRow(job=job, channel=channel, told_at=moment))

    def over(self, job: str, channel: str) -> None:
        """A channel knows that the job is well again, or is not to hear of it any more."""
        with self._database.session() as session:
            session.execute(delete(AlarmRow).where(AlarmRow.job == job, AlarmRow.channel == channel))

    def keep_only(self, jobs: Collection[str]) -> None:
        """Forget every job but these."""
        with self._database.session() as session:
            session.execute(delete(AlarmRow).where(AlarmRow.job.not_in(jobs)))
