"""A spool for machines without room: a bounded buffer that all destinations read in step.

Nothing touches a disk, and that has a price: the slowest destination decides how long the database's snapshot is held
open, and an upload that breaks off cannot be tried again, for the bytes are gone. A destination that gives up must say
so, or the others would wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition

from core.errors import BackupError, SpoolAborted, StorageError
from core.streams import Chunk, Chunks
from services.spool import ABORTED

CAPACITY = 32 << 20  # bytes that the fastest reader may be ahead of the slowest


class MemorySpool:
    """One writer, and readers that are all known before the first byte. Holds ``capacity`` bytes and one chunk."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._changed = Condition()
        self._chunks: deque[bytes] = deque()
        self._dropped = 0  # chunks that every reader has had
        self._readers: list[MemoryReader] = []
        self._held = 0  # bytes
        self._finished = self._aborted = False
        self.size = 0

    def reader(self) -> MemoryReader:
        """A reader of every byte. Raises ValueError when bytes have gone by already."""
        if self.size:
            raise ValueError("a reader of a memory spool must be there before the first byte")
        self._readers.append(MemoryReader(self))
        return self._readers[-1]

    def append(self, chunks: Chunks) -> None:
        """Hand on every chunk, at the pace of the slowest reader. Raises BackupError when no reader is left."""
        for chunk in chunks:
            self._append(bytes(chunk))  # copied: the chunk is valid only until the next one is drawn

    def finish(self) -> None:
        """Declare the bytes complete and proven; only now can a reader reach their end."""
        with self._changed:
            self._finished = not self._aborted
            self._changed.notify_all()

    def abort(self) -> None:
        """Give up, unless already finished: every reader raises SpoolAborted. Safe to call twice."""
        with self._changed:
            self._aborted = self._aborted or not self._finished
            self._changed.notify_all()

    def cancel(self) -> None:
        """Give up even what is finished: nobody wants it any more, and no reader is to go on to its end."""
        with self._changed:
            self._finished, self._aborted = False, True
            self._changed.notify_all()

    def close(self) -> None:
        """Abort what is unfinished and let go of what is held. Safe to call twice."""
        self.abort()

    def _append(self, chunk: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._capacity or self._aborted or not self._readers)
            if self._aborted:
                raise SpoolAborted(ABORTED)
            if not self._readers:
                raise BackupError(
                    "no destination takes the backup any more", hint="see what each of them says, then back up again"
                )
            self._chunks.append(chunk)
            self._held += len(chunk)
            self.size += len(chunk)
            self._changed.notify_all()

    def _chunk(self, reader: MemoryReader) -> bytes | None:
        """The next chunk for a reader, or None at the proven end. Raises SpoolAborted."""
        with self._changed:
            self._changed.wait_for(lambda: self._has(reader) or self._finished or self._aborted)
            if self._aborted:
                raise SpoolAborted(ABORTED)
            if not self._has(reader):
                return None
            chunk = self._chunks[reader.position - self._dropped]
            reader.position += 1
            self._drop()
            return chunk

    def _has(self, reader: MemoryReader) -> bool:
        return reader.position < self._dropped + len(self._chunks)

    def _forget(self, reader: MemoryReader) -> None:
        with self._changed:
            if reader in self._readers:
                self._readers.remove(reader)
                self._drop()
                self._changed.notify_all()

    def _drop(self) -> None:
        """Let go of what every reader has had. Whoever calls it holds the lock."""
        slowest = min((reader.position for reader in self._readers), default=self._dropped + len(self._chunks))
        while self._dropped < slowest:
            self._held -= len(self._chunks.popleft())
            self._dropped += 1
        self._changed.notify_all()


class MemoryReader:
    """One destination's way through a memory spool, once."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self.position = 0  # of the next chunk, counted from the first

    def read(self) -> Iterator[Chunk]:
        """Every byte, once. Raises SpoolAborted, or StorageError when this was tried before."""
        if self.position:
            raise StorageError(
                "the upload broke off, and without a spool on disk it cannot be tried again",
                hint="back up again, or let the job spool to disk",
            )
        while (chunk := self._spool._chunk(self)) is not None:
            yield chunk

    def leave(self) -> None:
        """Want no more bytes, so that nobody waits for this reader. Safe to call twice."""
        self._spool._forget(self)
