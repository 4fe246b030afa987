"""A download is whole on this machine's disk, or an error that says what the disk lacks, and not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConnectionError, StorageError, StorageFull
from services.downloads import download
from tests.disks import read_only, small_disk
from tests.fakes.storage import MemoryStorage

MIB = 1 << 20
BODY = bytes(range(256)) * (3 * MIB // 256)


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    storage.put("a/shop.dump", [BODY])
    return storage


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        yield disk


def test_what_was_downloaded_is_private_and_can_be_read_twice(storage: MemoryStorage, tmp_path: Path) -> None:
    path = tmp_path / "shop.dump"
    stored = download(storage, "a/shop.dump", len(BODY), path)
    assert path.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert b"".join(stored.read()) == BODY


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte_with_figures(disk: Path) -> None:
    unreachable = MemoryStorage(unreachable=True)
    with pytest.raises(StorageFull, match=r"2,097,152 bytes free.* 3,145,728: 1,048,576 are missing") as failure:
        download(unreachable, "a/shop.dump", len(BODY), disk / "shop.dump")
    assert "DBACKUP_SCRATCH" in failure.value.hint
    assert failure.value.permanent


def test_a_disk_that_fills_up_meanwhile_is_said_and_keeps_nothing(storage: MemoryStorage, disk: Path) -> None:
    with pytest.raises(StorageFull, match="no room left"):
        download(storage, "a/shop.dump", 1000, disk / "shop.dump")
    assert list(disk.iterdir()) == []


def test_a_disk_that_takes_nothing_is_an_error_of_ours(storage: MemoryStorage, tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(StorageError, match="Read-only file system") as failure:
        download(storage, "a/shop.dump", len(BODY), tmp_path / "shop.dump")
    assert failure.value.hint


def test_a_download_that_was_cut_leaves_nothing_in_the_way_of_the_next_try(
    storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_: MemoryStorage, key: str) -> Iterator[bytes]:
        yield BODY[:MIB]
        raise ConnectionError(f"hung up in the middle of {key}")

    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(MemoryStorage, "get", cut)
        download(storage, "a/shop.dump", len(BODY), tmp_path / "shop.dump")
    assert list(tmp_path.iterdir()) == []
    assert b"".join(download(storage, "a/shop.dump", len(BODY), tmp_path / "shop.dump").read()) == BODY
