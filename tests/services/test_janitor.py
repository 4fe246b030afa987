"""What killed runs have left is removed, and nothing else ever."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.storage.local import Local, LocalConfig
from core import naming
from core.errors import StorageError
from services import janitor
from services.workspace import alive, workspace

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(hours=25), NOW - timedelta(hours=23)


@pytest.fixture
def storage(tmp_path: Path) -> Local:
    return Local(LocalConfig(path=tmp_path / "backups"))


def put(storage: Local, tmp_path: Path, started: datetime, *names: str, written: datetime | None = None) -> str:
    """A backup with these objects; gives its id."""
    backup_id = naming.new_backup_id(started)
    for name in names:
        storage.put(f"shop-01234567/{backup_id}/{name}", [b"x"])
        moment = (written or started).timestamp()
        os.utime(tmp_path / "backups" / "shop-01234567" / backup_id / name, (moment, moment))
    return backup_id


def found(storage: Local, *spared: str) -> list[str]:
    return [one.key.rpartition("/")[2] for one in janitor.leftovers(storage, NOW, spared=spared)]


def test_only_an_old_unfinished_backup_that_nobody_owns_is_a_leftover(storage: Local, tmp_path: Path) -> None:
    left = put(storage, tmp_path, OLD, "shop.dump")
    put(storage, tmp_path, OLD, "shop.dump", naming.MANIFEST)
    put(storage, tmp_path, OLD, "shop.dump", naming.LOCK)
    put(storage, tmp_path, YOUNG, "shop.dump")
    put(storage, tmp_path, OLD, "shop.dump", written=YOUNG)
    owned = put(storage, tmp_path, OLD, "shop.dump")
    storage.put("photos/2024/cat.jpg", [b"x"])
    storage.put(f"shop-01234567/{naming.new_backup_id(OLD)}/not ours.txt", [b"x"])
    before = {one.key for one in storage.list()}
    leftovers = list(janitor.leftovers(storage, NOW, spared=[owned]))
    assert [one.key for one in leftovers] == [f"shop-01234567/{left}"]
    janitor.remove(storage, leftovers[0])
    assert before - {one.key for one in storage.list()} == {f"shop-01234567/{left}/shop.dump"}


def test_parts_of_uploads_that_nobody_writes_to_are_leftovers(storage: Local, tmp_path: Path) -> None:
    incoming = storage.staging()
    names = {"upload-0123456789abcdef.part": OLD, "upload-fedcba9876543210.part": YOUNG, "something-else": OLD}
    for name, written in names.items():
        (incoming / name).write_bytes(b"x")
        os.utime(incoming / name, (written.timestamp(), written.timestamp()))
    assert found(storage) == ["upload-0123456789abcdef.part"]
    [leftover] = janitor.leftovers(storage, NOW, spared=())
    janitor.remove(storage, leftover)
    assert {path.name for path in incoming.iterdir()} == {"upload-fedcba9876543210.part", "something-else"}
    with pytest.raises(StorageError):
        storage.drop_part("something-else")


def test_a_backup_that_is_finished_in_the_last_moment_stays(storage: Local, tmp_path: Path) -> None:
    backup_id = put(storage, tmp_path, OLD, "shop.dump")
    [leftover] = janitor.leftovers(storage, NOW, spared=())
    storage.put(f"shop-01234567/{backup_id}/{naming.MANIFEST}", [b"{}"])
    janitor.remove(storage, leftover)
    assert len(list(storage.list())) == 2


def test_a_destination_that_cannot_be_listed_is_an_error(storage: Local) -> None:
    with pytest.raises(StorageError):
        list(janitor.leftovers(storage, NOW, spared=()))


def test_a_run_that_lives_is_known_to(tmp_path: Path) -> None:
    with workspace(tmp_path, "20260303T050607Z-abcdef"):
        assert alive(tmp_path) == {"20260303T050607Z-abcdef"}
    assert alive(tmp_path) == set()
