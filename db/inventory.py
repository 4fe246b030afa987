"""What the catalog holds, searched and summed up by the database: lists of any length are read page by page.

No manifest is parsed here; whoever wants one backup in full asks the catalog for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import BackupRow, LocationRow, Standing, VerificationRow
from db.session import Database
from db.steps import each

_WILD = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
# What a list says of a backup. Columns and not rows as objects, of which a thousand take longer than all else.
_FACTS = (
    BackupRow.backup_id, BackupRow.job_name.label("job"), BackupRow.job_slug.label("slug"), BackupRow.source,
    BackupRow.engine, BackupRow.profile, BackupRow.started_at, BackupRow.size, BackupRow.dump_size, BackupRow.complete,
)  # fmt: skip
_OF_COPY = (
    LocationRow.storage, LocationRow.locked, LocationRow.checked_at, LocationRow.standing, LocationRow.check_method,
    LocationRow.check_detail,
)  # fmt: skip
_AT_ONCE = 500  # backups whose copies are read by one query


@dataclass(frozen=True)
class Copy:
    """One copy of a backup, and the newest check of it. ``passed`` is None while it was never checked again."""

    storage: str
    locked: bool
    checked_at: datetime | None = None
    passed: bool | None = None
    method: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Held:
    """One backup in a list. Sizes in bytes, ``size`` of each copy; ``complete`` unless something is missing in it."""

    backup_id: str
    job: str
    slug: str
    source: str
    engine: str
    profile: str | None
    started_at: datetime
    size: int
    dump_size: int
    complete: bool
    copies: tuple[Copy, ...]


@dataclass(frozen=True)
class Wanted:
    """Which backups: those that fit everything that is given. ``text`` is looked for in names and in the id.

    ``sources`` limits them to these; None is no limit.
    """

    text: str = ""
    job: str = ""
    storage: str = ""
    engine: str = ""
    encrypted: bool | None = None
    locked: bool | None = None
    sources: frozenset[str] | None = None


@dataclass(frozen=True)
class Checked:
    """One copy of a backup, and what its newest check found. ``passed`` is None while it was never checked again."""

    backup_id: str
    job: str
    started_at: datetime
    size: int
    copy: Copy


@dataclass(frozen=True)
class Health:
    """How many copies there are, and how the newest check of each ended."""

    copies: int
    passed: int
    failed: int

    @property
    def unchecked(self) -> int:
        """How many were never checked again since they were written."""
        return self.copies - self.passed - self.failed


@dataclass(frozen=True)
class Sum:
    """How many copies or backups there are, and how many bytes they take."""

    number: int
    size: int


class Inventory:
    """The lists of the catalog. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, wanted: Wanted, *, limit: int, offset: int = 0) -> list[Held]:
        """A page of backups, newest first."""
        query = select(*_FACTS).where(*_conditions(wanted))
        newest = query.order_by(BackupRow.started_at.desc(), BackupRow.backup_id.desc())
        with self._database.session() as session:
            return _held(session, newest.limit(limit).offset(offset))

    def count(self, wanted: Wanted) -> int:
        """How many backups fit."""
        query = select(func.count()).select_from(BackupRow).where(*_conditions(wanted))
        with self._database.session() as session:
            return int(session.scalar(query) or 0)

    def get(self, backup_id: str) -> Held | None:
        """One backup, or None."""
        query = select(*_FACTS).where(BackupRow.backup_id == backup_id)
        with self._database.session() as session:
            return next(iter(_held(session, query)), None)

    def sources_of(self, backup_ids: Sequence[str]) -> dict[str, str]:
        """The source of each of these backups that are known, by its id."""
        query = select(BackupRow.backup_id, BackupRow.source).where(BackupRow.backup_id.in_(backup_ids))
        with self._database.session() as session:
            return dict(session.execute(query).tuples().all())

    def storages(self, sources: frozenset[str] | None = None) -> Sequence[str]:
        """The names of all storages that hold a copy of anything, or of backups of these sources."""
        query = _of_sources(select(LocationRow.storage).distinct().order_by(LocationRow.storage), sources)
        with self._database.session() as session:
            return session.scalars(query).all()

    def newest_complete(self, until: datetime | None = None) -> dict[str, Held]:
        """The newest backup of each job that misses nothing and has a copy, by the job's slug; taken ``until`` then."""
        early = [] if until is None else [BackupRow.started_at <= until]
        jobs, stored = each(BackupRow.job_slug), exists().where(LocationRow.backup_id == BackupRow.backup_id)
        newest = (
            select(BackupRow.backup_id)
            .where(BackupRow.complete, BackupRow.job_slug == jobs.c.value, stored, *early)
            .order_by(BackupRow.started_at.desc(), BackupRow.backup_id.desc())
            .limit(1)
            .correlate(jobs)
            .scalar_subquery()
        )
        found = select(newest.label("backup_id")).select_from(jobs).subquery()
        query = select(*_FACTS).join(found, BackupRow.backup_id == found.c.backup_id)
        with self._database.session() as session:
            return {one.slug: one for one in _held(session, query)}

    def last_passed(self) -> dict[str, datetime]:
        """When a copy of any backup of a job last passed a check, by the job's slug."""
        query = (
            select(BackupRow.job_slug, func.max(VerificationRow.moment))
            .join(VerificationRow, VerificationRow.backup_id == BackupRow.backup_id)
            .where(VerificationRow.passed)
            .group_by(BackupRow.job_slug)
        )
        with self._database.session() as session:
            return dict(session.execute(query).tuples().all())

    def checks(self, sources: frozenset[str] | None = None, *, limit: int, offset: int = 0) -> list[Checked]:
        """A page of copies: those whose newest check failed, those never checked, then the oldest checks first."""
        order = (LocationRow.standing, LocationRow.checked_at, LocationRow.backup_id.desc(), LocationRow.storage)
        query = (
            select(BackupRow.backup_id, BackupRow.job_name, BackupRow.started_at, BackupRow.size, *_OF_COPY)
            .select_from(LocationRow)
            .join(BackupRow, BackupRow.backup_id == LocationRow.backup_id)
            .order_by(*order)
        )
        if sources is not None:
            query = query.where(BackupRow.source.in_(sources))
        with self._database.session() as session:
            return [
                Checked(backup_id, job, started_at, size, _copy(*facts))
                for backup_id, job, started_at, size, *facts in session.execute(query.limit(limit).offset(offset))
            ]

    def copies(self, sources: frozenset[str] | None = None) -> int:
        """How many copies there are of everything, or of backups of these sources."""
        with self._database.session() as session:
            return int(session.scalar(_of_sources(select(func.count()).select_from(LocationRow), sources)) or 0)

    def health(self, sources: frozenset[str] | None = None) -> Health:
        """How many copies there are of everything, or of backups of these sources, and what their checks found."""
        query = _of_sources(select(LocationRow.standing, func.count()).group_by(LocationRow.standing), sources)
        with self._database.session() as session:
            found: dict[int, int] = dict(session.execute(query).tuples().all())
        return Health(sum(found.values()), found.get(Standing.PASSED, 0), found.get(Standing.FAILED, 0))

    def by_storage(self) -> dict[str, Sum]:
        """What lies on each storage."""
        query = select(LocationRow.storage, func.count(), func.sum(LocationRow.size)).group_by(LocationRow.storage)
        with self._database.session() as session:
            return {storage: Sum(number, int(size or 0)) for storage, number, size in session.execute(query)}

    def by_day(self, since: date) -> dict[date, Sum]:
        """The backups of each day in UTC from ``since`` on, with the bytes of one copy of each."""
        day = func.substr(BackupRow.backup_id, 1, 8)  # an id begins with the moment in UTC, in any database
        query = (
            select(day, func.count(), func.sum(BackupRow.size))
            .where(BackupRow.backup_id >= f"{since:%Y%m%d}")
            .group_by(day)
        )
        with self._database.session() as session:
            return {
                datetime.strptime(text, "%Y%m%d").date(): Sum(number, int(size or 0))
                for text, number, size in session.execute(query)
            }

    def jobs(self, sources: frozenset[str] | None = None) -> Sequence[str]:
        """The names of all jobs that have backups, or backups of these sources."""
        query = select(BackupRow.job_name).distinct().order_by(BackupRow.job_name)
        if sources is not None:
            query = query.where(BackupRow.source.in_(sources))
        with self._database.session() as session:
            return session.scalars(query).all()


def _of_sources(query: Select[Any], sources: frozenset[str] | None) -> Select[Any]:
    """A query about copies, limited to those of backups of these sources; None is no limit."""
    if sources is None:
        return query
    of_backup = BackupRow.backup_id == LocationRow.backup_id
    return query.join(BackupRow, of_backup).where(BackupRow.source.in_(sources))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.text:
        pattern = f"%{wanted.text.translate(_WILD)}%"
        columns: tuple[Any, ...] = (BackupRow.backup_id, BackupRow.job_name, BackupRow.source)
        found.append(or_(*(column.ilike(pattern, escape="\\") for column in columns)))
    if wanted.job:
        found.append(or_(BackupRow.job_name == wanted.job, BackupRow.job_slug == wanted.job))
    if wanted.engine:
        found.append(BackupRow.engine == wanted.engine)
    if wanted.storage:
        found.append(BackupRow.locations.any(LocationRow.storage == wanted.storage))
    if wanted.encrypted is not None:
        found.append(BackupRow.profile.is_not(None) if wanted.encrypted else BackupRow.profile.is_(None))
    if wanted.locked is not None:
        pinned = BackupRow.locations.any(LocationRow.locked)
        found.append(pinned if wanted.locked else ~pinned)
    if wanted.sources is not None:
        found.append(BackupRow.source.in_(wanted.sources))
    return found


def _held(session: Session, query: Select[Any]) -> list[Held]:
    rows = session.execute(query).all()
    copies: dict[str, list[Copy]] = defaultdict(list)
    of_these = select(LocationRow.backup_id, *_OF_COPY).order_by(LocationRow.storage)
    for start in range(0, len(rows), _AT_ONCE):
        ids = [row.backup_id for row in rows[start : start + _AT_ONCE]]
        for backup_id, *facts in session.execute(of_these.where(LocationRow.backup_id.in_(ids))):
            copies[backup_id].append(_copy(*facts))
    return [Held(**row._mapping, copies=tuple(copies[row.backup_id])) for row in rows]


def _copy(storage: str, locked: bool, checked_at: datetime | None, standing: int, method: str, detail: str) -> Copy:
    passed = None if checked_at is None else standing == Standing.PASSED
    return Copy(storage, locked, checked_at, passed, method, detail)
