"""The promises of a spool in memory: bounded, in step, and never waiting for a reader that has gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from core.errors import BackupError, SpoolAborted, StorageError
from services.memory_spool import MemoryReader, MemorySpool

KIB = 1 << 10


def drain(reader: MemoryReader) -> bytes:
    return b"".join(bytes(chunk) for chunk in reader.read())


def reused(pieces: list[bytes]) -> Iterator[memoryview]:
    """The pieces in one buffer that is overwritten each time, as the pipeline gives them."""
    buffer = bytearray(max(map(len, pieces)))
    for piece in pieces:
        buffer[: len(piece)] = piece
        yield memoryview(buffer)[: len(piece)]


def test_every_reader_gets_every_byte() -> None:
    pieces = [os.urandom(size) for size in (1, 300 * KIB, 7, 900 * KIB)]
    spool = MemorySpool(capacity=256 * KIB)
    readers = [spool.reader() for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        drained = [pool.submit(drain, reader) for reader in readers]
        spool.append(reused(pieces))
        spool.finish()
        assert [one.result(10) for one in drained] == [b"".join(pieces)] * 3


def test_the_writer_never_gets_further_ahead_than_its_capacity() -> None:
    spool = MemorySpool(capacity=64 * KIB)
    slow = spool.reader()
    written = 0

    def counted() -> Iterator[bytes]:
        nonlocal written
        for _ in range(100):
            written += 16 * KIB
            yield bytes(16 * KIB)

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(spool.append, counted())
        read, most = 0, 0
        for chunk in slow.read():
            read += len(chunk)
            most = max(most, written - read)
            if read == 100 * 16 * KIB:
                spool.finish()
        writing.result(10)
    assert most <= (64 + 3 * 16) * KIB  # the capacity, and a chunk each that is being written, handed on and read


def test_a_reader_that_leaves_holds_nobody_up() -> None:
    spool = MemorySpool(capacity=16 * KIB)
    stuck, healthy = spool.reader(), spool.reader()
    with ThreadPoolExecutor() as pool:
        drained = pool.submit(drain, healthy)
        writing = pool.submit(spool.append, [bytes(8 * KIB)] * 20)
        assert not writing.done()
        stuck.leave()
        writing.result(10)
        spool.finish()
        assert len(drained.result(10)) == 160 * KIB


def test_a_dump_that_no_destination_takes_any_more_is_ended() -> None:
    spool = MemorySpool(capacity=16 * KIB)
    reader = spool.reader()
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(spool.append, [bytes(8 * KIB)] * 20)
        reader.leave()
        with pytest.raises(BackupError, match="no destination"):
            writing.result(10)


def test_no_reader_completes_when_the_dump_fails() -> None:
    spool = MemorySpool()
    reader, reached = spool.reader(), Event()

    def follow() -> None:
        for _ in reader.read():
            reached.set()

    with ThreadPoolExecutor() as pool:
        following = pool.submit(follow)
        spool.append([b"half a dump"])
        assert reached.wait(10)
        assert not following.done()
        spool.abort()
        with pytest.raises(SpoolAborted):
            following.result(10)


def test_a_cancelled_spool_is_not_read_to_its_end() -> None:
    spool = MemorySpool()
    reader = spool.reader()
    spool.append([b"whole"])
    spool.finish()
    spool.cancel()
    with pytest.raises(SpoolAborted):
        drain(reader)


def test_what_has_gone_by_cannot_be_read_again() -> None:
    spool = MemorySpool()
    reader = spool.reader()
    spool.append([b"bytes"])
    spool.finish()
    assert drain(reader) == b"bytes"
    with pytest.raises(StorageError, match="cannot be tried again") as caught:
        drain(reader)
    assert caught.value.permanent
    with pytest.raises(ValueError, match="before the first byte"):
        spool.reader()
