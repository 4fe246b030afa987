"""A dump taken apart while it passes: the rows of each table, and everything else.

What stands between two DELIMITER lines is the code of a trigger, a routine or an event, and never data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.streams import Chunks

MARK = re.compile(
    rb"^(?:DELIMITER (?P<delimiter>\S+)\n"
    rb"|CREATE TABLE `(?P<created>(?:[^`]|``)+)` "
    rb"|  `(?:[^`]|``)+` (?P<column>[^\n]+)\n"
    rb"|INSERT INTO `(?P<table>(?:[^`]|``)+)`(?P<row>[^\n]*+(?<! VALUES)\n)?)",
    re.MULTILINE,
)
# In a column's definition; what is in quotes (a value of an ENUM, a comment) does not count.
GENERATED = re.compile(rb"(?:[^']|'(?:[^'\\]|\\.|'')*+')*? GENERATED ALWAYS AS \(")


@dataclass(frozen=True)
class Part:
    """A piece of a dump: of one table's rows, or, without ``table``, whole lines of everything else."""

    data: bytes
    table: str | None = None


class Parts:
    """A dump in parts, which together are the same bytes.

    ``tables`` are those it has created so far; for each of its columns, whether it is generated. ``rows_share_lines``
    once a statement was seen whose rows begin on its first line, as older tools write them.
    """

    def __init__(self) -> None:
        self.tables: dict[str, list[bool]] = {}
        self.rows_share_lines = False
        self._columns: list[bool] = []
        self._table: str | None = None
        self._in_code = False
        self._rest = b""

    def of(self, chunks: Chunks) -> Iterator[Part]:
        """The parts; a line of text is never cut, rows may be cut anywhere."""
        for chunk in chunks:
            self._rest += bytes(chunk)
            yield from self._ready()
        yield Part(self._rest, self._table)

    def _ready(self) -> Iterator[Part]:
        while self._rest:
            if self._table is None:
                found = self._next_insert()
                cut = found.start() if found else self._rest.rfind(b"\n") + 1
                following = _name(found["table"]) if found else None
            else:
                end = self._rest.find(b";\n")
                # The line feed of what closes the statement may be the next chunk's first byte.
                cut = end + 2 if end >= 0 else len(self._rest) - 1
                following = None if end >= 0 else self._table
            if cut:
                yield Part(self._rest[:cut], self._table)
            elif following == self._table:
                return
            stays = following == self._table
            self._rest, self._table = self._rest[cut:], following
            if stays:
                return

    def _next_insert(self) -> re.Match[bytes] | None:
        for mark in MARK.finditer(self._rest, 0, self._rest.rfind(b"\n") + 1):
            if mark["delimiter"]:
                self._in_code = mark["delimiter"] != b";"
            elif self._in_code:
                continue
            elif mark["created"]:
                self._columns = self.tables[_name(mark["created"])] = []
            elif mark["column"]:
                self._columns.append(GENERATED.match(mark["column"]) is not None)
            else:
                self.rows_share_lines |= mark["row"] is not None
                return mark
        return None


def _name(quoted: bytes) -> str:
    return quoted.decode(errors="surrogateescape").replace("``", "`")
