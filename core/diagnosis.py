"""What is wrong with an encrypted object of which a chunk did not open.

The tags tell more than that something is wrong: a chunk that opens under another number was moved, one that opens as
the final chunk although bytes follow was extended, one that opens as an ordinary chunk although nothing follows was
cut off. Everything here is tried after the failure, releases nothing, and is bounded, so it takes seconds at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.errors import (
    DamagedChunk,
    DamagedHeader,
    IntegrityError,
    MisplacedChunk,
    TrailingData,
    TruncatedObject,
)

TAG_SIZE = 16  # bytes
NEIGHBOURS = 128  # chunks before and after the place where a moved chunk is looked for
APPENDED = 4096  # bytes after the end that are recognised as such behind a short final chunk
ANOTHER_COPY = "use another copy of this backup, or an older backup"


@dataclass(frozen=True)
class Failure:
    """The chunk that did not open: its number, the object's byte it starts at, and what follows it, if anything.

    ``opens(index, final, sealed)`` says whether the bytes are the genuine chunk ``index``.
    """

    index: int
    offset: int
    sealed: memoryview
    following: memoryview
    full: int  # bytes of a sealed chunk of full size
    opens: Callable[[int, bool, memoryview], bool]

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"chunk {self.index} (byte {self.offset} of the object)"


def diagnose(failure: Failure) -> IntegrityError:
    """The error that describes the failure best."""
    for look in (_cut_at_a_chunk, _extended, _moved, _header_changed, _cut_within_a_chunk):
        if found := look(failure):
            return found
    return DamagedChunk(f"{failure.place} was changed", hint=ANOTHER_COPY)


def _cut_at_a_chunk(failure: Failure) -> IntegrityError | None:
    if failure.following or not failure.opens(failure.index, False, failure.sealed):
        return None
    return TruncatedObject(f"the object ends after {failure.place}, which is not its last", hint=ANOTHER_COPY)


def _extended(failure: Failure) -> IntegrityError | None:
    length = next((n for n in _possible_ends(failure) if failure.opens(failure.index, True, failure.sealed[:n])), None)
    if length is None:
        return None
    return TrailingData(f"there are bytes after the end, from byte {failure.offset + length} on", hint=ANOTHER_COPY)


def _possible_ends(failure: Failure) -> Iterator[int]:
    """Lengths the final chunk may have had before bytes were appended: full, or short by at most APPENDED bytes."""
    if failure.following:
        yield failure.full
    shortest = len(failure.sealed) + len(failure.following) - APPENDED
    yield from range(len(failure.sealed) - 1, max(shortest, TAG_SIZE) - 1, -1)


def _moved(failure: Failure) -> IntegrityError | None:
    first = max(0, failure.index - NEIGHBOURS)
    for index in range(first, failure.index + NEIGHBOURS + 1):
        if any(failure.opens(index, final, failure.sealed) for final in (False, True)):
            return MisplacedChunk(f"chunk {index} stands in the place of {failure.place}", hint=ANOTHER_COPY)
    return None


def _header_changed(failure: Failure) -> IntegrityError | None:
    if failure.index or not failure.following:
        return None
    if any(failure.opens(1, final, failure.following) for final in (False, True)):
        return None
    return DamagedHeader("no chunk opens: the header of the encrypted object was changed", hint=ANOTHER_COPY)


def _cut_within_a_chunk(failure: Failure) -> IntegrityError | None:
    if len(failure.sealed) == failure.full:
        return None
    return TruncatedObject(f"{failure.place}, the last, was cut, changed or extended", hint=ANOTHER_COPY)
