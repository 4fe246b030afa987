"""Compression of dumps: standard frames, both directions, in flat memory.

What is written is one zstd or gzip frame that ``zstd -d`` and ``gunzip`` read. Reading accepts several frames one
after another, as other tools write them, and tells a stream that is cut from one that is corrupt and from one
that has bytes after its end. Output is drawn in small pieces, so a stream that expands a million times costs time
but no memory.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from core.errors import ConfigurationError, DamagedData, IntegrityError, TrailingData, TruncatedObject
from core.streams import Chunk, Chunks, Stage
from core.written import Written

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FEED = 256 << 10  # bytes given to a compressor at once: its output then stays in memory the allocator reuses
PIECE = 128 << 10  # bytes drawn from a decompressor at once, at most
JOB = 4 << 20  # bytes the background worker of zstd compresses at once; bounds its buffers to some 30 MiB
GZIP = 31  # zlib's window bits for a gzip frame
ANOTHER_COPY = "use another copy of this backup, or an older backup"


class Algorithm(StrEnum):
    """How an object is compressed, as in manifests and headers."""

    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"

    @property
    def suffix(self) -> str:
        """What an object's name ends in: ``.zst``, ``.gz`` or nothing."""
        return {Algorithm.ZSTD: ".zst", Algorithm.GZIP: ".gz", Algorithm.NONE: ""}[self]


LEVELS = {Algorithm.ZSTD: range(1, 20), Algorithm.GZIP: range(1, 10)}
# Level 1 outruns any dump tool by itself. The next ones compress beside the thread that reads, seals and writes. The
# highest are slow either way and hold large windows, of which a worker would keep copies.
WORKER_LEVELS = range(2, 10)
DEFAULT_LEVELS = {Algorithm.ZSTD: 3, Algorithm.GZIP: 6}


@dataclass(frozen=True)
class Compression(Written):
    """An algorithm and its level, written ``zstd:3``, ``gzip`` or ``none``.

    A level left out is the algorithm's default. Raises ConfigurationError for a level that does not exist.
    """

    algorithm: Algorithm = Algorithm.ZSTD
    level: int | None = None

    def __post_init__(self) -> None:
        levels = LEVELS.get(self.algorithm)
        if self.level is None:
            object.__setattr__(self, "level", DEFAULT_LEVELS.get(self.algorithm))
        elif levels is None:
            raise ConfigurationError(f"compression {self.algorithm} takes no level", hint="leave the level out")
        elif self.level not in levels:
            raise ConfigurationError(
                f"{self.algorithm} has no level {self.level}",
                hint=f"choose a level from {levels[0]} to {levels[-1]}",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``algorithm`` or ``algorithm:level``. Raises ConfigurationError for anything else."""
        name, colon, level = text.partition(":")
        if name not in list(Algorithm):
            raise ConfigurationError(f"there is no compression {name!r}", hint="choose zstd, gzip or none")
        if colon and not (level.isascii() and level.isdigit()):
            raise ConfigurationError(f"{level!r} is not a compression level", hint="write for example zstd:3")
        return cls(Algorithm(name), int(level) if colon else None)

    def __str__(self) -> str:
        return self.algorithm.value if self.level is None else f"{self.algorithm}:{self.level}"

    @property
    def suffix(self) -> str:
        """What an object's name ends in: ``.zst``, ``.gz`` or nothing."""
        return self.algorithm.suffix


def compress(compression: Compression) -> Stage:
    """A stage that turns its input into one frame; an empty input gives a valid empty frame."""
    match compression.algorithm:
        case Algorithm.ZSTD:
            return lambda chunks: _encode(chunks, _zstd_encoder(_level(compression)))
        case Algorithm.GZIP:
            return lambda chunks: _encode(chunks, zlib.compressobj(_level(compression), zlib.DEFLATED, GZIP))
        case Algorithm.NONE:
            return iter


def decompress(algorithm: Algorithm) -> Stage:
    """A stage that undoes :func:`compress`, in pieces of at most 128 KiB.

    Raises TruncatedObject, TrailingData or DamagedData; what was yielded before is then not to be trusted.
    """
    match algorithm:
        case Algorithm.ZSTD:
            return lambda chunks: _Frames(zstd.ZstdDecompressor).decode(chunks)
        case Algorithm.GZIP:
            return lambda chunks: _Frames(_GzipFrame).decode(chunks)
        case Algorithm.NONE:
            return iter


class _Encoder(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _level(compression: Compression) -> int:
    return compression.level or DEFAULT_LEVELS[compression.algorithm]


def _zstd_encoder(level: int) -> _Encoder:
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: level, parameter.checksum_flag: 1}
    if level in WORKER_LEVELS:
        options |= {parameter.nb_workers: 1, parameter.job_size: JOB}
    return zstd.ZstdCompressor(options=options)


def _slices(chunks: Chunks) -> Iterator[memoryview]:
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), FEED):
            yield view[start : start + FEED]


def _encode(chunks: Chunks, encoder: _Encoder) -> Iterator[Chunk]:
    for data in _slices(chunks):
        if piece := encoder.compress(data):
            yield piece
    yield encoder.flush()


class _Frame(Protocol):
    """One frame being read. ``decompress`` gives at most ``max_length`` bytes and keeps what it did not get to."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Chunk, max_length: int) -> bytes: ...


class _GzipFrame:
    """A gzip frame with the interface of a zstd frame."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(GZIP)
        self._held_back = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._held_back

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: Chunk, max_length: int) -> bytes:
        piece = self._zlib.decompress(data or self._zlib.unconsumed_tail, max_length)
        # zlib may hold output back even when it has taken all of its input.
        self._held_back = len(piece) == max_length or bool(self._zlib.unconsumed_tail)
        return piece


class _Frames:
    """Reads frames that follow one another without a gap."""

    def __init__(self, new_frame: Callable[[], _Frame]) -> None:
        self._new_frame = new_frame
        self._frame = new_frame()
        self._follows = False  # whether a whole frame has gone before this one
        self._yielded = False  # whether this frame has given anything

    def decode(self, chunks: Chunks) -> Iterator[Chunk]:
        for piece in _slices(chunks):
            data: Chunk = piece
            while data:
                if self._frame.eof:
                    self._frame, self._follows, self._yielded = self._new_frame(), True, False
                yield from self._draw(data)
                data = self._frame.unused_data
        if not self._frame.eof:
            raise self._failure(TruncatedObject("the compressed data ends before its frame does", hint=ANOTHER_COPY))

    def _draw(self, data: Chunk) -> Iterator[Chunk]:
        while True:
            try:
                piece = self._frame.decompress(data, PIECE)
            except (zstd.ZstdError, zlib.error) as error:
                failure = DamagedData(f"the compressed data is corrupt ({error})", hint=ANOTHER_COPY)
                raise self._failure(failure) from error
            if piece:
                self._yielded = True
                yield piece
            if self._frame.eof or self._frame.needs_input:
                return
            data = b""

    def _failure(self, failure: IntegrityError) -> IntegrityError:
        """Bytes that never became a frame, behind a whole one, are not a damaged frame but no frame at all."""
        if self._follows and not self._yielded:
            return TrailingData("there are bytes after the end of the compressed data", hint=ANOTHER_COPY)
        return failure
