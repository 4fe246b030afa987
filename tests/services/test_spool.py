"""The promises of the spool: readers follow the writer, and nobody completes what the dump did not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from core.errors import SpoolAborted, StorageFull
from core.streams import CHUNK_SIZE
from services.spool import Spool
from tests.disks import small_disk


def drain(spool: Spool) -> bytes:
    return b"".join(bytes(chunk) for chunk in spool.read())


def test_readers_get_every_byte_while_the_spool_grows(tmp_path: Path) -> None:
    pieces = [os.urandom(size) for size in (1, CHUNK_SIZE, 3 * CHUNK_SIZE + 7, 5)]
    with Spool(tmp_path / "spool") as spool, ThreadPoolExecutor() as pool:
        early = [pool.submit(drain, spool) for _ in range(3)]
        spool.append(pieces)
        spool.finish()
        late = pool.submit(drain, spool)
        assert [reader.result(10) for reader in (*early, late)] == [b"".join(pieces)] * 4


def test_a_reader_at_the_end_waits_until_the_dump_is_proven(tmp_path: Path) -> None:
    reached = Event()

    def follow(spool: Spool) -> int:
        size = 0
        for chunk in spool.read():
            size += len(chunk)
            if size == 3:
                reached.set()
        return size

    with Spool(tmp_path / "spool") as spool, ThreadPoolExecutor() as pool:
        reader = pool.submit(follow, spool)
        spool.append([b"abc"])
        assert reached.wait(10)
        assert not reader.done()
        spool.finish()
        assert reader.result(10) == 3


def test_no_reader_completes_when_the_dump_fails(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool, ThreadPoolExecutor() as pool:
        reading, waiting = pool.submit(drain, spool), pool.submit(spool.wait)
        spool.append([b"half a dump"])
        spool.abort()
        for reader in (reading, waiting):
            with pytest.raises(SpoolAborted):
                reader.result(10)


def test_leaving_the_context_without_finishing_aborts(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        with Spool(tmp_path / "spool") as spool:
            reader = pool.submit(drain, spool)
        with pytest.raises(SpoolAborted):
            reader.result(10)


def test_a_finished_spool_stays_finished(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        spool.append([b"whole"])
        spool.finish()
        spool.abort()
        assert drain(spool) == b"whole"


def test_the_file_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_an_adopted_file_survives_under_its_other_name(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        spool.append([b"kept"])
        spool.finish()
        os.link(spool.wait(), tmp_path / "published")
    assert (tmp_path / "published").read_bytes() == b"kept"


def test_an_existing_file_is_never_taken_over(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        Spool(tmp_path / "spool")


def test_a_full_disk_is_said_with_figures(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, Spool(disk / "spool") as spool:
        with pytest.raises(StorageFull, match=r"[\d,]+ bytes are written, at least [\d,]+ more") as caught:
            spool.append([bytes(CHUNK_SIZE)] * 64)
        assert "DBACKUP_SCRATCH" in caught.value.hint
