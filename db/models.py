"""The tables: an index of the backups that destinations hold, and the record of every run.

Times are stored in UTC. Nothing here is needed to restore a backup: the index can be made anew from the
destinations, and the record of runs is history.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

EMPTY = text("''")


class Moment(TypeDecorator[datetime]):
    """A moment with a time zone in Python, in UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a zone: it would be taken for another one later."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """SQLite keeps no zone; what is stored is UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of every table; constraints have names, so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Standing(IntEnum):
    """What the newest check of a copy found; what somebody should look at comes first."""

    FAILED = 0
    UNCHECKED = 1
    PASSED = 2


class BackupRow(Table):
    """One backup, wherever its copies lie. ``manifest`` holds the bytes as they were stored.

    What lists are sorted and searched by stands beside it, so that a page of them parses no manifest. Sizes in bytes;
    ``complete`` is false when something that was asked for is missing.
    """

    __tablename__ = "backups"

    backup_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_name: Mapped[str] = mapped_column(Text)
    job_slug: Mapped[str] = mapped_column(String(128))
    started_at: Mapped[datetime] = mapped_column(Moment)
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    source: Mapped[str] = mapped_column(Text, server_default=EMPTY)
    engine: Mapped[str] = mapped_column(String(32), server_default=EMPTY)
    profile: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    dump_size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    complete: Mapped[bool] = mapped_column(server_default=false())
    locations: Mapped[list[LocationRow]] = relationship(
        back_populates="backup", cascade="all, delete-orphan", lazy="selectin", order_by="LocationRow.storage"
    )

    __table_args__ = (
        Index("ix_backups_started_at", "started_at"),
        Index("ix_backups_backup_id_size", "backup_id", "size"),
        Index("ix_backups_job_name_started_at", "job_name", "started_at"),
        Index("ix_backups_job_slug_started_at", "job_slug", "started_at"),
        Index("ix_backups_complete_job_slug_started_at", "complete", "job_slug", "started_at"),
    )


class LocationRow(Table):
    """One copy of a backup on one storage, and what its newest check found: ``checked_at`` is None while there is none.

    ``size`` is in bytes, as its backup has it. Each check is kept among the verifications, too; what stands here lets
    lists be sorted, and sums be made, from an index alone. ``standing`` comes first where somebody should look.
    """

    __tablename__ = "locations"

    backup_id: Mapped[str] = mapped_column(ForeignKey("backups.backup_id", ondelete="CASCADE"), primary_key=True)
    storage: Mapped[str] = mapped_column(Text, primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    locked: Mapped[bool] = mapped_column(default=False)
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    standing: Mapped[int] = mapped_column(SmallInteger, server_default=str(Standing.UNCHECKED.value))
    checked_at: Mapped[datetime | None] = mapped_column(Moment)
    check_method: Mapped[str] = mapped_column(Text, server_default=EMPTY)
    check_detail: Mapped[str] = mapped_column(Text, server_default=EMPTY)
    backup: Mapped[BackupRow] = relationship(back_populates="locations")

    __table_args__ = (
        Index("ix_locations_checks", "standing", "checked_at", backup_id.desc(), "storage"),
        Index("ix_locations_storage_size", "storage", "size"),
    )


class OwedRow(Table):
    """A copy that a run could not bring to one of its destinations, to be brought there later from another."""

    __tablename__ = "owed"

    backup_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    storage: Mapped[str] = mapped_column(Text, primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    job_slug: Mapped[str] = mapped_column(String(128))
    since: Mapped[datetime] = mapped_column(Moment)
    reason: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_owed_job_slug", "job_slug"),)


class AlarmRow(Table):
    """That a channel was told, and when last, that a job is overdue; gone when it is well again."""

    __tablename__ = "alarms"

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    told_at: Mapped[datetime] = mapped_column(Moment)


class JobChangeRow(Table):
    """That a job was made, changed or deleted. The newest change of all has the highest ``number``."""

    __tablename__ = "job_changes"

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_job_changes_number", "number"),)


class VerificationRow(Table):
    """One check of one copy. It outlives the copy: it is history."""

    __tablename__ = "verifications"

    number: Mapped[int] = mapped_column(primary_key=True)
    backup_id: Mapped[str] = mapped_column(String(32))
    storage: Mapped[str] = mapped_column(Text)
    moment: Mapped[datetime] = mapped_column(Moment)
    method: Mapped[str] = mapped_column(Text)
    passed: Mapped[bool]
    detail: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index("ix_verifications_backup_id_moment", "backup_id", "moment"),
        Index("ix_verifications_backup_id_storage_number", "backup_id", "storage", "number"),
    )


LISTED = ("created_at", "execution_id", "state", "kind", "job_name", "source", "target")
"""What runs are sorted and chosen by: an index that has all of it finds any page, and counts, without reading a row."""


class ExecutionRow(Table):
    """One run, from its creation to its final state. ``report`` is JSON.

    ``source`` is the saved source that it is about, ``target`` the one that a restore writes into; both are empty where
    that is unknown or saved under no name.
    """

    __tablename__ = "executions"

    execution_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    job_name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text, server_default=EMPTY)
    target: Mapped[str] = mapped_column(Text, server_default=EMPTY)
    flow_run_id: Mapped[str | None] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
    summary: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[str] = mapped_column(Text, default="")
    report: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_executions_lists", *LISTED),
        Index("ix_executions_kind_job_name_created_at", "kind", "job_name", "created_at"),
        Index("ix_executions_source_created_at", "source", "created_at"),
        Index("ix_executions_flow_run_id", "flow_run_id"),
    )
