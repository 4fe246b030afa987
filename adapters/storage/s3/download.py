"""An object on its way out of a bucket: several ranges of it at a time, given in order, in bounded memory.

The first answer tells the object's size and version; every further range is asked of that version only, so that what
is read is one object, even if another has taken its place meanwhile. A range is read whole into memory before any of
it is given: a consumer that takes its time keeps no connection waiting. A connection that breaks is taken up again
where it broke. Whoever stops early leaves nothing behind but answers on their way, whose threads end at the next piece.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from adapters.storage.s3.errors import is_beyond_the_end, is_other_version
from adapters.storage.s3.parts import Stopped
from core.errors import ConnectionError, StorageError
from core.streams import CHUNK_SIZE, Chunk

if TYPE_CHECKING:
    from adapters.storage.s3.bucket import Bucket

RANGE = 8 << 20  # bytes asked for at a time
AHEAD = 4  # ranges on their way, beside the one that is given
PIECE = 1 << 20  # bytes taken from an answer at a time
RESUMPTIONS = 5  # of one range, each after a connection that broke midway
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Version:
    """Which object it is: its tag, as the server has it, and its size in bytes."""

    tag: str
    size: int


@dataclass
class Span:
    """The bytes of an object between two positions, on their way into a buffer; ``arrived`` of them are there."""

    start: int
    end: int
    buffer: bytearray
    arrived: int = 0

    @property
    def missing(self) -> memoryview:
        """Where the rest goes."""
        return memoryview(self.buffer)[self.arrived : self.end - self.start]

    def chunks(self) -> Iterator[Chunk]:
        """What has arrived."""
        content = memoryview(self.buffer)[: self.arrived]
        for at in range(0, len(content), CHUNK_SIZE):
            yield content[at : at + CHUNK_SIZE]


class Download:
    """One reading of an object."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._version: Version | None = None
        self._unused: deque[bytearray] = deque()
        self._stop = Event()

    def run(self, start: int, end: int | None) -> Iterator[Chunk]:
        """The bytes between two positions, of which the object may have fewer. Raises ObjectNotFound, StorageError or
        ConnectionError."""
        opened = self._opened(start, start + RANGE if end is None else min(end, start + RANGE))
        if opened is None:
            return
        version, answer = opened
        end = version.size if end is None else min(end, version.size)
        if end - start <= RANGE:
            yield from self._filled(Span(start, end, bytearray(end - start)), answer).chunks()
        else:
            yield from self._many(start, end, answer)

    def _many(self, start: int, end: int, answer: Answer) -> Iterator[Chunk]:
        """Several ranges at a time; the first is read from an answer that is there."""
        pool = ThreadPoolExecutor(AHEAD, "s3-download")
        try:
            first = pool.submit(self._filled, self._span(start, end), answer)
            travelling: deque[Future[Span]] = deque([first])
            further = (
                pool.submit(self._filled, self._span(position, end)) for position in range(start + RANGE, end, RANGE)
            )
            travelling.extend(islice(further, AHEAD - 1))
            while travelling:
                span = travelling.popleft().result()
                travelling.extend(islice(further, 1))
                yield from span.chunks()
                self._unused.append(span.buffer)
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _span(self, start: int, end: int) -> Span:
        return Span(start, min(start + RANGE, end), self._unused.popleft() if self._unused else bytearray(RANGE))

    def _filled(self, span: Span, answer: Answer | None = None) -> Span:
        """Read a range to its end, over as many connections as it takes within the bound."""
        breaks = 0
        while span.missing:
            try:
                self._fill(span, answer or self._further(span))
            except ConnectionError as failure:
                breaks += 1
                if failure.permanent or breaks > RESUMPTIONS or self._stop.is_set():
                    raise
            answer = None
        return span

    def _fill(self, span: Span, answer: Answer) -> None:
        body = answer["Body"]
        try:
            while rest := span.missing:
                if self._stop.is_set():
                    raise Stopped
                with self._bucket.guarded(repr(self._key)):
                    count = body.readinto(rest[:PIECE])
                    if not count:
                        raise ConnectionResetError  # without a word, before its end
                span.arrived += count
        finally:
            body.close()

    def _further(self, span: Span) -> Answer:
        """Ask for what is missing of a range. Raises StorageError when the object is another one by now."""
        opened = self._opened(span.start + span.arrived, span.end)
        if opened is None:
            raise self._replaced()
        return opened[1]

    def _opened(self, start: int, end: int) -> tuple[Version, Answer] | None:
        """Ask for a range; None when the object ends before it. What is there from then on must stay that object."""
        wanted: dict[str, Any] = {"IfMatch": self._version.tag} if self._version and self._version.tag else {}
        with self._bucket.guarded(repr(self._key)):
            try:
                answer: Answer = self._bucket.client.get_object(
                    Bucket=self._bucket.name, Key=self._key, Range=f"bytes={start}-{end - 1}", **wanted
                )
            except ClientError as failure:
                if is_beyond_the_end(failure):
                    return None
                if is_other_version(failure):
                    raise self._replaced() from None
                raise
        version = Version(str(answer.get("ETag", "")), self._size(answer, start, end))
        if version != (self._version or version):
            raise self._replaced()
        self._version = version
        return (version, answer) if start < version.size else None

    def _size(self, answer: Answer, start: int, end: int) -> int:
        """The object's size, as an answer tells it that gives what was asked for. Raises StorageError for another."""
        if told := _CONTENT_RANGE.fullmatch(str(answer.get("ContentRange", ""))):
            first, last, size = (int(number) for number in told.groups())
            if (first, last + 1) == (start, min(end, size)):
                return size
        elif (size := int(answer["ContentLength"])) == 0 or (start == 0 and size <= end):
            return size  # the whole object is what was asked for
        raise StorageError(
            f"{self._bucket.place} gave other bytes of {self._key!r} than were asked for",
            hint="it is no S3 server that backups can rely on: it does not understand ranges",
        )

    def _replaced(self) -> StorageError:
        return StorageError(
            f"{self._key!r} in {self._bucket.place} was replaced while it was read",
            hint="try again; nothing of ours overwrites an object, so look who else writes there",
            permanent=False,
        )
