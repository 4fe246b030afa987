"""The catalog is brought up to date with a destination, and forgets only what is known to be gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import naming
from core.errors import BackupNotFound, ConnectionError
from core.manifest import JobReference, Manifest, SourceDescription
from core.ports import StoredObject
from core.streams import Chunk
from services import indexing, stored
from services.destinations import Destination
from services.records import catalog
from tests.fakes.storage import MemoryStorage

JOB = JobReference(id="job:index", name="index")
SOURCE = SourceDescription(name="s", engine="sqlite", server_version="3", tool="t")


@dataclass
class Line(MemoryStorage):
    """A storage whose line is cut after ``good`` objects; ``meanwhile`` is committed right after the first list."""

    good: int | None = None
    meanwhile: list[Manifest] = field(default_factory=list)

    def describe(self) -> str:
        return "line"

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        if self.good is not None:
            if not self.good:
                raise ConnectionError("the line was cut", hint="told to fail")
            self.good -= 1
        yield from super().get(key, offset=offset, length=length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        yield from super().list(prefix)
        while self.meanwhile:
            commit(self, self.meanwhile.pop())


@pytest.fixture
def line(home: Path) -> Iterator[Line]:
    yield Line()
    for backup_id in catalog().ids_on("line"):
        catalog().forget_location(backup_id, "line")


def manifest(day: int) -> Manifest:
    moment = datetime(2026, 11, day, 3, tzinfo=UTC)
    return Manifest(
        backup_id=naming.new_backup_id(moment), job=JOB, source=SOURCE, trigger="manual", started_at=moment,
        finished_at=moment, files=(),
    )  # fmt: skip


def commit(line: Line, one: Manifest) -> str:
    """Store a backup and record it, as a run does."""
    folder = naming.backup_folder(naming.job_slug(JOB.name, JOB.id), one.backup_id)
    line.put(naming.manifest_key(folder), [one.to_bytes()])
    catalog().record(one, one.to_bytes(), storage="line", folder=folder)
    return one.backup_id


def rebuild(line: Line) -> indexing.Reading:
    [reading] = indexing.rebuild([Destination("line", line)], dict)
    return reading


def test_a_line_that_is_cut_costs_no_entry(line: Line) -> None:
    known = {commit(line, manifest(day)) for day in (1, 2, 3, 4)}
    line.good = 1
    reading = rebuild(line)
    assert (len(reading.backups), len(reading.problems)) == (1, 3)
    assert catalog().ids_on("line") == known


def test_a_backup_that_is_committed_meanwhile_stays_known(line: Line) -> None:
    first, second = commit(line, manifest(1)), manifest(2)
    line.meanwhile = [second]
    rebuild(line)
    assert catalog().ids_on("line") == {first, second.backup_id}


def test_a_backup_that_is_deleted_meanwhile_is_not_recorded_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, doomed = commit(line, manifest(1)), commit(line, manifest(2))
    read = stored.read

    def read_then_delete(storage: Line, folder: stored.Folder) -> stored.StoredBackup:
        found = read(storage, folder)
        if folder.backup_id == doomed:
            stored.delete(storage, folder)
            catalog().forget_location(doomed, "line")
        return found

    monkeypatch.setattr(stored, "read", read_then_delete)
    assert rebuild(line).problems == ()
    assert catalog().ids_on("line") == {kept}


def test_what_is_gone_is_forgotten_and_what_was_unknown_is_found(line: Line) -> None:
    gone, kept = commit(line, manifest(1)), commit(line, manifest(2))
    catalog().forget_location(kept, "line")
    line.delete(next(key for key in line.objects if gone in key))
    rebuild(line)
    assert catalog().ids_on("line") == {kept}
    with pytest.raises(BackupNotFound):
        catalog().find(gone)


def test_a_destination_that_cannot_be_listed_keeps_every_entry_of_all(line: Line) -> None:
    known = commit(line, manifest(1))
    line.objects.clear()
    with pytest.raises(ConnectionError):
        indexing.rebuild([Destination("line", line), Destination("dead", MemoryStorage(unreachable=True))], dict)
    assert catalog().ids_on("line") == {known}
