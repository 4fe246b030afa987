"""The catalog: an index of what the destinations hold, so that a list needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from core.errors import BackupNotFound
from core.manifest import Manifest
from db.models import BackupRow, LocationRow, Standing, Table, VerificationRow
from db.session import Database
from db.upserts import insert_into

LATEST = "latest"


@dataclass(frozen=True)
class Entry:
    """One backup as the catalog knows it; ``size`` in bytes of its objects on each of its storages.

    ``written`` are the bytes of its manifest.
    """

    manifest: Manifest
    storages: tuple[str, ...]
    locked: bool
    written: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes stored on each destination."""
        return sum(file.size for file in self.manifest.files)


@dataclass(frozen=True)
class Verification:
    """One check of one copy."""

    storage: str
    moment: datetime
    method: str
    passed: bool
    detail: str


class Catalog:
    """The index in a database. Every method raises ConfigurationError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, manifest: Manifest, written: bytes, *, storage: str, folder: str, locked: bool = False) -> None:
        """Know of one more copy; a copy that is known already is brought up to date."""
        backup = {
            "backup_id": manifest.backup_id,
            "job_name": manifest.job.name,
            "job_slug": folder.partition("/")[0],
            "started_at": manifest.started_at,
            "manifest": written,
            "source": manifest.source.name,
            "engine": manifest.source.engine,
            "profile": next((file.encryption.profile for file in manifest.files if file.encryption), None),
            "size": sum(file.size for file in manifest.files),
            "dump_size": sum(file.dump_size for file in manifest.files),
            "complete": not manifest.missing,
        }
        copy = {
            "backup_id": manifest.backup_id,
            "storage": storage,
            "folder": folder,
            "locked": locked,
            "size": backup["size"],
        }
        with self._database.session() as session:
            _put(session, BackupRow, backup)
            _put(session, LocationRow, copy, at_first=_last_check(session, manifest.backup_id, storage))

    def backups(self, *, limit: int | None = None, offset: int = 0, job: str | None = None) -> list[Entry]:
        """Backups, newest first, of one job (its name or slug) or of all; at most ``limit``, None for every one."""
        query = select(BackupRow).order_by(BackupRow.started_at.desc(), BackupRow.backup_id.desc())
        if job is not None:
            query = query.where(or_(BackupRow.job_name == job, BackupRow.job_slug == job))
        with self._database.session() as session:
            return [_entry(row) for row in session.scalars(query.limit(limit).offset(offset))]

    def on_storage(self, storage: str) -> list[Entry]:
        """Every backup that has a copy on this storage."""
        query = select(BackupRow).where(BackupRow.locations.any(LocationRow.storage == storage))
        with self._database.session() as session:
            return [_entry(row) for row in session.scalars(query)]

    def ids_on(self, storage: str) -> frozenset[str]:
        """The ids of every backup that has a copy on this storage, also of one whose entry here is damaged."""
        with self._database.session() as session:
            return frozenset(session.scalars(select(LocationRow.backup_id).where(LocationRow.storage == storage)))

    def find(self, reference: str) -> Entry:
        """What a backup id, ``latest`` or ``<job>/latest`` means. Raises BackupNotFound."""
        job, _, last = reference.rpartition("/")
        found = self.backups(limit=1, job=job or None) if last == LATEST else self._by_id(reference)
        if found:
            return found[0]
        raise BackupNotFound(
            f"the catalog knows no backup {reference}",
            hint="name the destination with --at, or read the destinations anew: dbackup catalog rebuild",
        )

    def _by_id(self, backup_id: str) -> list[Entry]:
        with self._database.session() as session:
            row = session.get(BackupRow, backup_id)
            return [_entry(row)] if row else []

    def forget_location(self, backup_id: str, storage: str) -> None:
        """A copy is gone; with its last copy the backup is forgotten."""
        with self._database.session() as session:
            session.execute(
                delete(LocationRow).where(LocationRow.backup_id == backup_id, LocationRow.storage == storage)
            )
            remaining = select(LocationRow.backup_id).where(LocationRow.backup_id == backup_id)
            if session.execute(remaining).first() is None:
                session.execute(delete(BackupRow).where(BackupRow.backup_id == backup_id))

    def set_locked(self, backup_id: str, storage: str, locked: bool) -> None:
        """Know that a copy is pinned, or no longer."""
        with self._database.session() as session:
            session.execute(
                update(LocationRow)
                .where(LocationRow.backup_id == backup_id, LocationRow.storage == storage)
                .values(locked=locked)
            )

    def verified(self, backup_id: str, *, storage: str, method: str, passed: bool, detail: str = "") -> None:
        """Keep the result of a check."""
        check = VerificationRow(
            backup_id=backup_id,
            storage=storage,
            moment=datetime.now(UTC),
            method=method,
            passed=passed,
            detail=detail,
        )
        found = _standing(check)
        copy = update(LocationRow).where(LocationRow.backup_id == backup_id, LocationRow.storage == storage)
        with self._database.session() as session:
            session.add(check)
            session.execute(copy.values(found))

    def verifications(self, backup_id: str) -> Sequence[Verification]:
        """Every check of a backup, newest first."""
        query = select(VerificationRow).where(VerificationRow.backup_id == backup_id)
        with self._database.session() as session:
            rows = session.scalars(query.order_by(VerificationRow.moment.desc(), VerificationRow.number.desc()))
            return [Verification(row.storage, row.moment, row.method, row.passed, row.detail) for row in rows]


def _put(
    session: Session, table: type[Table], values: Mapping[str, object], *, at_first: Mapping[str, object] | None = None
) -> None:
    """Insert a row or bring it up to date, in one statement: several uploads may record one backup at once.

    ``at_first`` is only what a new row begins with.
    """
    statement = insert_into(session, table).values({**values, **(at_first or {})})
    key = [column.name for column in table.__table__.primary_key]
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


def _last_check(session: Session, backup_id: str, storage: str) -> Mapping[str, object]:
    """What is known of a copy that is seen again after its storage was away: its checks outlive it."""
    query = select(VerificationRow).where(VerificationRow.backup_id == backup_id, VerificationRow.storage == storage)
    newest = session.scalars(query.order_by(VerificationRow.number.desc()).limit(1)).first()
    return _standing(newest) if newest else {}


def _standing(check: VerificationRow) -> Mapping[str, object]:
    """What a copy shows of its newest check."""
    return {
        "standing": (Standing.PASSED if check.passed else Standing.FAILED).value,
        "checked_at": check.moment,
        "check_method": check.method,
        "check_detail": check.detail,
    }


def _entry(row: BackupRow) -> Entry:
    storages = tuple(location.storage for location in row.locations)
    return Entry(
        Manifest.parse(row.manifest), storages, any(location.locked for location in row.locations), row.manifest
    )
