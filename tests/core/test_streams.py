from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from core.streams import Chunk, Chunks, Digest, Meter, through
from tests.core.chopping import collected


def twice(chunks: Chunks) -> Iterator[Chunk]:
    for chunk in chunks:
        yield bytes(chunk) * 2


def upper(chunks: Chunks) -> Iterator[Chunk]:
    for chunk in chunks:
        yield bytes(chunk).upper()


def test_stages_run_in_the_order_they_are_given() -> None:
    assert collected([b"ab", b"c"], twice, upper) == b"ABABCC"


def test_nothing_runs_until_the_result_is_drawn() -> None:
    def source() -> Iterator[Chunk]:
        raise AssertionError("drawn")
        yield b""

    chunks = through(source(), twice, Digest())
    with pytest.raises(AssertionError, match="drawn"):
        collected(chunks)


def test_closing_the_result_closes_every_stage() -> None:
    closed = []

    def source() -> Iterator[Chunk]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("source")

    chunks = iter(through(source(), twice, Digest(), Meter()))
    next(chunks)
    del chunks
    assert closed == ["source"]


def test_an_error_of_the_source_reaches_the_end_of_the_pipeline() -> None:
    def source() -> Iterator[Chunk]:
        yield b"a"
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        collected(source(), twice, Digest(), Meter())


def test_a_digest_knows_size_and_sha256_and_passes_everything_on() -> None:
    digest = Digest()
    assert collected([b"ab", memoryview(b"cd"), bytearray(b"e")], digest) == b"abcde"
    assert (digest.size, digest.sha256) == (5, hashlib.sha256(b"abcde").hexdigest())


def test_a_meter_tells_the_size_of_each_chunk() -> None:
    told: list[int] = []
    meter = Meter(told.append)
    assert collected([b"ab", b"", b"c"], meter) == b"abc"
    assert (told, meter.size) == ([2, 0, 1], 3)
