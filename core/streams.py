"""Bytes in motion: a pipeline is a fold over chunks, a stage is a callable.

A chunk is valid only until the next one is drawn: stages reuse their buffers, so that memory stays flat and no
page is faulted in twice. Whoever wants to keep bytes copies them. Nothing runs until the result is drawn, and
closing the result closes every stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

Chunk = bytes | bytearray | memoryview
Chunks = Iterable[Chunk]
Stage = Callable[[Chunks], Iterator[Chunk]]

CHUNK_SIZE = 1 << 20  # bytes; the read size of every source and the chunk size of the encrypted format


def through(chunks: Chunks, *stages: Stage) -> Chunks:
    """Feed the chunks through each stage in turn; nothing runs until they are drawn."""
    for stage in stages:
        chunks = stage(chunks)
    return chunks


class Digest:
    """A stage that passes chunks on and knows, at any time, their total size and SHA-256."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything passed on so far, in hex."""
        return self._hash.hexdigest()


class Meter:
    """A stage that passes chunks on and tells ``advance`` how many bytes each one held."""

    def __init__(self, advance: Callable[[int], None] = lambda _: None) -> None:
        self._advance = advance
        self.size = 0

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        for chunk in chunks:
            self.size += len(chunk)
            self._advance(len(chunk))
            yield chunk
