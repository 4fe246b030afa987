"""A storage in memory. It passes the contract of the real ones, and can be told to fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import ClassVar

from adapters.storage.keys import parts_of
from core.errors import ConnectionError, ObjectExists, ObjectNotFound, StorageFull
from core.ports import StoredObject
from core.streams import CHUNK_SIZE, Chunk, Chunks


@dataclass
class MemoryStorage:
    """Objects in a dictionary. It can be made to fail at any time:

    ``capacity`` is the number of bytes it holds, None for no limit; ``unreachable`` makes every call fail.
    """

    kind: ClassVar[str] = "memory"

    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    capacity: int | None = None
    unreachable: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False)

    def describe(self) -> str:
        return "the memory"

    def identity(self) -> str:
        return f"memory:{id(self.objects)}"

    def check(self) -> None:
        self._require_reachable()

    def free_space(self) -> int | None:
        self._require_reachable()
        return None if self.capacity is None else self.capacity - sum(len(body) for body, _ in self.objects.values())

    def put(self, key: str, chunks: Chunks) -> None:
        parts_of(key)
        self._require_reachable()
        self._require_free(key)
        body, room = bytearray(), self.free_space()
        for chunk in chunks:
            body += chunk
            if room is not None and len(body) > room:
                raise StorageFull(f"the memory is full: {len(body) - room:,} bytes are missing", hint="make room")
        with self._lock:
            self._require_free(key)
            self.objects[key] = (bytes(body), datetime.now(UTC))

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        parts_of(key)
        self._require_reachable()
        body = self._body(key)[offset : None if length is None else offset + length]
        for start in range(0, len(body), CHUNK_SIZE):
            yield body[start : start + CHUNK_SIZE]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        self._require_reachable()
        for key, (body, modified) in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield StoredObject(key, len(body), modified)

    def present(self, key: str) -> bool:
        parts_of(key)
        self._require_reachable()
        return any(one == key or one.startswith(f"{key}/") for one in self.objects)

    def delete(self, key: str) -> None:
        parts_of(key)
        self._require_reachable()
        self._body(key)
        del self.objects[key]

    def _body(self, key: str) -> bytes:
        try:
            return self.objects[key][0]
        except KeyError:
            raise ObjectNotFound(f"there is no object {key!r}", hint="list what there is") from None

    def _require_free(self, key: str) -> None:
        if key in self.objects:
            raise ObjectExists(f"{key!r} is already stored", hint="nothing is ever overwritten")

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise ConnectionError("the memory cannot be reached", hint="told to fail")
