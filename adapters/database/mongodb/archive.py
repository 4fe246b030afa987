"""The framing of a mongodump archive, read while it passes by.

An archive is a magic number, a prelude that names every collection, and blocks of documents, each with a header that
says whose they are. A collection ends with a header of its own, so an archive is whole exactly when it ends between
two blocks and every collection of the prelude has ended. Documents are counted and skipped by their length, never
decoded. The checksum that each end carries is compared by mongorestore.

A dump with ``--oplog`` has one collection more, of no database: the operations that were recorded meanwhile. Those are
decoded, to know what replaying them changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from adapters.database.mongodb.oplog import Replay
from core.errors import DBackupError
from core.manifest import Contents
from core.streams import Chunk, Chunks

MAGIC = struct.pack("<I", 0x8199E26D)
TERMINATOR = -1
SMALLEST, LARGEST = 5, (16 << 20) + (16 << 10)  # bytes of a document
# Recorded operations hold what people have stored: dates that Python has not, and text that is none.
ANYTHING = CodecOptions[dict[str, Any]](
    datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
)
LENGTH = struct.Struct("<i")
OPLOG = ("", "oplog")  # database and collection that the recorded operations stand under
BUCKETS = "system.buckets."  # the documents of a time series lie in a collection of this prefix
VIEW, TIMESERIES = "view", "timeseries"


class Archive:
    """A stage that passes an archive on. Raises ``kind`` at its first fault, and after the last byte if it is cut."""

    def __init__(self, kind: type[DBackupError], hint: str) -> None:
        self._kind, self._hint = kind, hint
        self._carry = bytearray()  # of something that the last chunk cut
        self._skip = 0  # bytes of a document that are still to come
        self._begun = self._header = False
        self._in_body = False
        self._current: tuple[str, str] | None = None
        self._open: set[tuple[str, str]] = set()
        self._ended: set[tuple[str, str]] = set()
        self._rows: dict[tuple[str, str], int] = {}
        self.collections: dict[tuple[str, str], str] = {}  # the type of each, by database and name
        self.described = False  # the prelude is complete
        self.replay = Replay()

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        for chunk in chunks:
            self.feed(chunk)
            yield chunk
        self.finish()

    def feed(self, chunk: Chunk) -> None:
        """Look at the next bytes. Raises ``kind``."""
        view = memoryview(chunk)
        position = min(self._skip, len(view))
        self._skip -= position
        while position < len(view):
            fast = self._in_body and not self._carry and self._current != OPLOG
            position = self._documents(view, position) if fast else self._piece(view, position)

    def finish(self) -> None:
        """Raise ``kind`` unless the archive is whole."""
        unfinished = [name for name, kind in self.collections.items() if not self._has_ended(name, kind)]
        if not self.described or self._skip or self._carry or self._in_body or self._open or unfinished:
            where = ".".join(unfinished[0]) if unfinished else "its header"
            raise self._fault(f"it ends before it is complete (at {where})")

    def databases(self) -> set[str]:
        """The databases that the prelude names."""
        return {database for database, _ in self.collections if database}

    def contents(self, database: str) -> Contents:
        """A database's collections, and the documents of each, counted exactly. Holds after the last byte."""
        tables = [name for owner, name in self.collections if owner == database and not name.startswith("system.")]
        rows = {name: count for (owner, name), count in self._rows.items() if owner == database}
        return Contents(tables=len(tables), rows=rows)

    def replayed(self) -> Contents:
        """All databases but the server's own, by ``database.collection``, after the recorded operations.

        What these touch is only estimated. Holds after the last byte.
        """
        return self.replay.after(self.collections, self._rows)

    def _has_ended(self, name: tuple[str, str], kind: str) -> bool:
        database, collection = name
        return name in self._ended or (kind == TIMESERIES and (database, BUCKETS + collection) in self._ended)

    def _documents(self, view: memoryview, position: int) -> int:
        """Skip whole documents, as many as there are; give where it stopped."""
        size, count, unpack = len(view), 0, LENGTH.unpack_from
        while position + 4 <= size:
            (length,) = unpack(view, position)
            if length < SMALLEST or length > LARGEST:
                break
            count += 1
            position += length
        self._count(count)
        if position >= size:
            self._skip = position - size
            return size
        return self._piece(view, position)

    def _piece(self, view: memoryview, position: int) -> int:
        """Take the next thing that must be looked at, or as much of it as there is; give where it ends."""
        position = self._collect(view, position, 4)
        if len(self._carry) < 4:
            return position
        if not self._begun:
            self._begin(bytes(self._carry))
            return position
        length: int = LENGTH.unpack_from(self._carry)[0]
        if length == TERMINATOR:
            self._carry.clear()
            self._end_of_block()
            return position
        if not SMALLEST <= length <= LARGEST:
            raise self._fault("a document has an impossible length")
        if self._in_body and self._current != OPLOG:
            self._carry.clear()
            self._count(1)
            end = position + length - 4
            self._skip = max(0, end - len(view))
            return min(end, len(view))
        position = self._collect(view, position, length)
        if len(self._carry) == length:
            self._document(bytes(self._carry))
            self._carry.clear()
        return position

    def _collect(self, view: memoryview, position: int, wanted: int) -> int:
        missing = max(0, wanted - len(self._carry))
        taken = view[position : position + missing]
        self._carry += taken
        return position + len(taken)

    def _begin(self, magic: bytes) -> None:
        if magic != MAGIC:
            raise self._fault("it does not begin like one")
        self._begun = True
        self._carry.clear()

    def _count(self, documents: int) -> None:
        if documents and self._current is None:
            raise self._fault("documents stand where a collection has ended")
        if self._current is not None:
            self._rows[self._current] = self._rows.get(self._current, 0) + documents

    def _end_of_block(self) -> None:
        if not self.described:
            if not self._header:
                raise self._fault("its header is missing")
            self.described = True
        elif not self._in_body:
            raise self._fault("a block has no header")
        self._in_body, self._current = False, None

    def _document(self, raw: bytes) -> None:
        try:
            fields = bson.decode(raw, ANYTHING)
        except (BSONError, ValueError, TypeError):
            raise self._fault("a header in it cannot be read") from None
        if not self._header:
            self._header = True
            return
        if self._in_body:
            self.replay.note(fields)
            return
        name = (str(fields.get("db", "")), str(fields.get("collection", "")))
        if not self.described:
            self.collections[name] = str(fields.get("type") or "collection")
            return
        self._block(name, ends=bool(fields.get("EOF")))

    def _block(self, name: tuple[str, str], *, ends: bool) -> None:
        if name in self._ended:
            raise self._fault(f"{'.'.join(name)} goes on after its end")
        self._in_body = True
        if ends:
            self._ended.add(name)
            self._open.discard(name)
            return
        self._open.add(name)
        if self.collections.get(name) != VIEW:
            self._current = name
            self._count(0)

    def _fault(self, what: str) -> DBackupError:
        return self._kind(f"this is no complete archive of mongodump: {what}", hint=self._hint)
