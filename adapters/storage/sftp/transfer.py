"""Many reads or writes on their way at once, within a bound, so that a distant server is no slow one.

Every write is answered for before an upload is finished: a refused one cannot be missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from adapters.storage.sftp.protocol import Session
from core.streams import CHUNK_SIZE, Chunk

WINDOW = 4 << 20  # bytes on their way, each direction


class Upload:
    """Writes to a file, in order, from ``written`` on, which then counts the bytes that were sent.

    ``answered`` counts those from the beginning that the server has answered for: they are in the file.
    """

    def __init__(self, session: Session, handle: bytes, written: int = 0) -> None:
        self._session, self._handle = session, handle
        self._unanswered: deque[tuple[int, int]] = deque()  # number and size of each write
        self.written = self.answered = written

    def write(self, chunk: Chunk) -> None:
        """Send a chunk, and wait only while too much is unanswered. Raises Refusal, also of an earlier write."""
        view = memoryview(chunk)
        for start in range(0, len(view), CHUNK_SIZE):
            part = view[start : start + CHUNK_SIZE]
            while self._unanswered and self.written + len(part) - self.answered > WINDOW:
                self._take_answer()
            self._unanswered.extend(self._session.ask_to_write(self._handle, self.written, part))
            self.written += len(part)

    def settle(self) -> None:
        """Wait until every write is answered for. Raises Refusal."""
        while self._unanswered:
            self._take_answer()

    def finish(self) -> None:
        """Wait until every write is answered for, make the file durable, and close it. Raises Refusal."""
        self.settle()
        self._session.sync(self._handle)
        self._session.close_handle(self._handle)

    def _take_answer(self) -> None:
        number, size = self._unanswered.popleft()
        self._session.written(number)
        self.answered += size


def download(session: Session, handle: bytes, position: int, end: int) -> Iterator[memoryview]:
    """The bytes between two positions in order, fewer when the file ends before. Raises Refusal.

    Reads are asked for again when half of them are answered: one packet for many of them.
    """
    most, size = max(WINDOW // session.largest_read, 1), session.largest_read
    asked: deque[tuple[int, int, int]] = deque()  # number, offset and size of each read

    def ask(parts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
        return ((number, *part) for number, part in zip(session.ask_to_read(handle, parts), parts, strict=True))

    while True:
        if position < end and len(asked) <= most // 2:
            last = min(position + (most - len(asked)) * size, end)
            asked.extend(ask([(start, min(size, last - start)) for start in range(position, last, size)]))
            position = last
        if not asked:
            return
        number, start, wanted = asked.popleft()
        data = session.read(number)
        if not data:
            return
        if len(data) < wanted:  # a server may give less; what is missing comes before the rest
            asked.extendleft(ask([(start + len(data), wanted - len(data))]))
        yield data
