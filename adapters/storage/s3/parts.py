"""An object in parts: how large each is, the memory they share, and how one is handed to the HTTP client.

The first half of the part numbers have one size, so that memory is flat for all but huge objects. From there on
parts grow linearly, just fast enough that the last number reaches the largest object. Each part is in memory while
it travels: however large, parts never take more than the budget, or one of them where that is larger.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Event

from core.errors import StorageError
from core.streams import Chunks

LARGEST_PART = 5 << 30  # bytes, of the protocol
PIECE = 1 << 15  # bytes handed to the socket at a time: each has to leave within connect_timeout, however slow the line


@dataclass(frozen=True)
class PartPlan:
    """``first`` is the size of the first parts and ``total`` that of the largest object, in bytes."""

    first: int
    parts: int
    total: int

    def size(self, number: int) -> int:
        """The size of a part in bytes; the first has the number 1. Only the last of an object may be smaller."""
        half = self.parts // 2
        if number <= half:
            return self.first
        growing = self.parts - half
        missing = max(0, self.total - self.parts * self.first)
        grown = -(-2 * missing * (number - half) // (growing * (growing + 1)))  # rounded up
        return min(self.first + grown, LARGEST_PART)


class Room:
    """Memory for parts, ``budget`` bytes of it, or one part where that is larger. Buffers are used again."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._taken = 0
        self._free: deque[bytearray] = deque()
        self._changed = Condition()

    def take(self, size: int) -> bytearray:
        """A buffer of this size. Waits until parts that travel have given enough back."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + size <= self._budget)
            self._taken += size
            if self._free and len(self._free[0]) == size:
                return self._free.popleft()
            self._free.clear()
        return bytearray(size)

    def give_back(self, buffer: bytearray) -> None:
        """The part has arrived."""
        with self._changed:
            self._taken -= len(buffer)
            self._free.append(buffer)
            self._changed.notify()


@dataclass(frozen=True)
class Part:
    """A numbered part in memory: the first ``size`` bytes of its buffer."""

    number: int
    buffer: bytearray
    size: int

    @property
    def content(self) -> memoryview:
        """Its bytes."""
        return memoryview(self.buffer)[: self.size]

    @property
    def is_full(self) -> bool:
        """Whether more may follow."""
        return self.size == len(self.buffer)


def in_parts(chunks: Chunks, plan: PartPlan, room: Room) -> Iterator[Part]:
    """Copy the chunks into parts, at least one. Raises StorageError when there is more than the plan has parts for."""
    number, buffer, size = 1, room.take(plan.size(1)), 0
    for chunk in chunks:
        rest = memoryview(chunk).cast("B")
        while rest:
            if size == len(buffer):
                yield Part(number, buffer, size)
                number, size = number + 1, 0
                _require_number(number, plan)
                buffer = room.take(plan.size(number))
            count = min(len(rest), len(buffer) - size)
            buffer[size : size + count] = rest[:count]
            size, rest = size + count, rest[count:]
    yield Part(number, buffer, size)


def _require_number(number: int, plan: PartPlan) -> None:
    if number > plan.parts:
        raise StorageError(
            f"the object is larger than {plan.parts:,} parts can hold, of which the first have {plan.first:,} bytes",
            hint="set a larger part_size, and a max_object_size that the provider allows",
        )


class Stopped(BaseException):
    """The upload has ended elsewhere. No ``Exception``: the HTTP client would take it for one of the network's."""


class Body(io.RawIOBase):
    """A part as a file for the HTTP client, which reads it several times: to sign, to send, to send again.

    A read gives more than was asked for, if that is little: the client asks for 16 KiB at a time. It raises Stopped
    once ``stop`` is set, so that nobody waits for a slow part of an upload that has failed.
    """

    def __init__(self, content: memoryview, stop: Event) -> None:
        super().__init__()
        self._content = content
        self._stop = stop
        self._position = 0

    def read(self, size: int = -1) -> memoryview:
        """The next bytes, all of them when no size is given."""
        if self._stop.is_set():
            raise Stopped
        start = self._position
        end = len(self._content) if size is None or size < 0 else start + max(size, PIECE)
        piece = self._content[start:end]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True
