"""The spool: one file that the dump appends to and uploads read behind, while it grows.

So dump and upload overlap, an upload is tried again without a new dump, from whatever byte it needs, and a slow
destination never holds the database's snapshot open. A reader that reached the end waits until the spool is finished,
which happens only after the dump is proven complete; so no upload can complete for a dump that failed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Protocol

from core.errors import SpoolAborted, StorageError, StorageFull
from core.streams import CHUNK_SIZE, Chunk, Chunks

ABORTED = "the dump this upload was following did not complete; nothing was published"


class SpoolReader(Protocol):
    """One destination's view of a spool."""

    def read(self) -> Iterator[Chunk]:
        """Every byte from the first on, following the writer to the proven end. Raises SpoolAborted."""

    def leave(self) -> None:
        """Want no more bytes, so that nobody waits for this reader. Safe to call twice."""


class Spool:
    """A growing file with one writer and any number of readers, each in a thread of its own.

    A context manager: leaving it aborts what is unfinished and removes the file's own name. A storage that has
    adopted the file keeps it under another name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._changed = Condition()
        self._size = 0
        self._finished = False
        self._aborted = False
        self._closed = False

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Abort what is unfinished and remove the file's own name. Safe to call twice."""
        self.abort()
        self.path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def append(self, chunks: Chunks) -> None:
        """Write every chunk behind what is there. Raises StorageFull or StorageError."""
        for chunk in chunks:
            self._append(chunk)

    def reader(self) -> SpoolReader:
        """The file is its own reader: any number of destinations read it, as often as they need to."""
        return self

    def leave(self) -> None:
        """Nobody waits for a reader of a file."""

    def finish(self) -> None:
        """Declare the bytes complete and proven; only now can a reader reach their end."""
        self._end(finished=True)

    def abort(self) -> None:
        """Give up, unless already finished: every reader raises SpoolAborted. Safe to call twice."""
        self._end(finished=False)

    def cancel(self) -> None:
        """Give up even what is finished: nobody wants it any more, and no reader is to go on to its end."""
        with self._changed:
            self._end(finished=False)
            self._finished, self._aborted = False, True
            self._changed.notify_all()

    def wait(self) -> Path:
        """Wait until the spool is finished, and give its path. Raises SpoolAborted."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._aborted)
            self._refuse_aborted()
        return self.path

    def read(self, start: int = 0) -> Iterator[Chunk]:
        """Every byte from ``start`` on, following the writer to the end. Raises SpoolAborted.

        A chunk is valid only until the next one is drawn.
        """
        if not self._grown_beyond(start):
            return
        buffer = bytearray(CHUNK_SIZE)
        view = memoryview(buffer)
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while self._grown_beyond(file.tell()):
                if count := file.readinto(buffer):
                    yield view[:count]

    def _append(self, chunk: Chunk) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise self._refused(error, len(rest)) from None
        with self._changed:
            self._size += len(chunk)
            self._changed.notify_all()

    def _refused(self, error: OSError, missing: int) -> StorageError:
        folder = self.path.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(
                f"no room left for the spool in {folder}: {self._size:,} bytes are written, "
                f"at least {missing:,} more were to follow",
                hint="free some space there, or set DBACKUP_SCRATCH to a folder with more room",
            )
        return StorageError(f"cannot write the spool in {folder}: {error.strerror}", hint="check the file system")

    def _grown_beyond(self, position: int) -> bool:
        """Wait for bytes after ``position``; false when the spool is finished and there are none."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > position or self._finished or self._aborted)
            self._refuse_aborted()
            return self._size > position

    def _refuse_aborted(self) -> None:
        if self._aborted:
            raise SpoolAborted(ABORTED)

    def _end(self, *, finished: bool) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._finished = finished
            self._aborted = not finished
            os.close(self._file)
            self._changed.notify_all()
