"""Hands bytes out in pieces, in one buffer that is reused, as every real source does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.streams import Chunk, Chunks, Stage, through


def chopped(data: bytes, sizes: Iterable[int]) -> Iterator[Chunk]:
    """The data in pieces of these sizes, then the rest. A piece is overwritten before the next one is handed out."""
    start = 0
    for size in sizes:
        piece = bytearray(data[start : start + size])
        yield piece
        piece[:] = b"\xee" * len(piece)
        start += size
    yield data[start:]


def collected(chunks: Chunks, *stages: Stage) -> bytes:
    """Everything that comes out, copied chunk by chunk."""
    return b"".join(bytes(chunk) for chunk in through(chunks, *stages))
