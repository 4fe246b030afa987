"""The text of a dump, read while it passes: what is data, which rows it holds, and where it ends.

The dump tool writes each row on a line of its own and escapes every line feed within a value, so rows are counted
where they are: the counts are those of the dump itself, whoever writes meanwhile, and cost no lock and no query.
What stands between two DELIMITER lines is the code of a trigger, a routine or an event, and never data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.database.mysql.triggers import unqualified
from core.errors import DumpError
from core.streams import Chunk, Chunks

SANDBOX = re.compile(rb"/\*M?!999999\\- [^\n]*\n")  # clients before 2024 take it for a command that they do not know
BEGINNING = re.compile(rb"(?:-- dbackup: [^\n]*\n)?(?:/\*M?!999999\\- [^\n]*\n)?-- (?:MariaDB|MySQL) dump ")
END = re.compile(rb"\n-- Dump completed(?: on [^\n]*)?\n\Z")
LAST = 256  # bytes that surely hold the last line
HEADER = b"-- dbackup: default character set %s collate %s\n"
DEFAULTS = re.compile(rb"\A-- dbackup: default character set (\w+) collate (\w+)\n")
MARK = re.compile(
    rb"^(?:DELIMITER (?P<delimiter>\S+)\n"
    rb"|CREATE TABLE `(?P<created>(?:[^`]|``)+)` "
    rb"|INSERT INTO `(?P<table>(?:[^`]|``)+)`)",
    re.MULTILINE,
)
DEFINER = re.compile(rb" ?DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`")
# Where the tool writes one: in the line after DELIMITER, in a function's, a procedure's or an event's, and in a view's.
DEFINED = re.compile(rb"(?:CREATE|/\*!50003 CREATE\*/ /\*!50017|/\*!50106 CREATE\*/ /\*!50117|/\*!50013) DEFINER=`")
EVENTS = b"-- Dumping events for database "
ROUTINES = b"-- Dumping routines for database "


@dataclass(frozen=True)
class Part:
    """A piece of a dump: of one table's rows, or, without ``table``, whole lines of everything else."""

    data: bytes
    table: str | None = None


class Parts:
    """A dump in parts, which together are the same bytes. ``tables`` are those it has created so far."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
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
                self.tables.add(_name(mark["created"]))
            else:
                return mark
        return None


class Inspection:
    """A stage that passes a dump on without the sandbox line or its database's name, counts rows and proves its end."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._parts = Parts()
        self._rows: dict[str, int] = {}
        self._last = b""

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        for index, data in enumerate(self._counted(chunks)):
            yield data if index else self._header + SANDBOX.sub(b"", data, count=1)
        if not END.search(self._last):
            raise DumpError(
                "the output of the dump tool ends before its last line: it is not complete",
                hint="look into the server's log, then try again",
                permanent=False,
            )

    def rows(self) -> dict[str, int]:
        """How many rows the dump has given for each of its tables so far."""
        return {table: self._rows.get(table, 0) for table in sorted(self._parts.tables)}

    def _counted(self, chunks: Chunks) -> Iterator[bytes]:
        for part in self._parts.of(chunks):
            if part.table is not None:
                cut_here = self._last[-1:] == b"\n" and part.data[:1] == b"("
                self._rows[part.table] = self._rows.get(part.table, 0) + part.data.count(b"\n(") + cut_here
            self._last = (self._last + part.data[-LAST:])[-LAST:]
            yield part.data if part.table is not None else unqualified(part.data)


class Loading:
    """A stage that prepares a dump for a new database: events are held back, so that none runs there.

    ``events`` has them after the last chunk. Without ``owner``, what was defined by somebody else is defined by whoever
    restores.
    """

    def __init__(self, *, owner: bool) -> None:
        self._owner = owner
        self._last = b""
        self._held: list[bytes] = []
        self._holding = False

    def __call__(self, chunks: Chunks) -> Iterator[Chunk]:
        for part in Parts().of(chunks):
            self._last = (self._last + part.data[-LAST:])[-LAST:]
            data = part.data if part.table is not None else self._text(part.data)
            if data:
                yield data

    @property
    def is_complete(self) -> bool:
        """Whether the dump's last line has been seen."""
        return END.search(self._last) is not None

    @property
    def events(self) -> bytes:
        """The events of the dump, as a script."""
        return b"".join(self._held)

    def _text(self, text: bytes) -> bytes:
        kept: list[bytes] = []
        for line in text.splitlines(keepends=True):
            self._holding = line.startswith(EVENTS) or (self._holding and not line.startswith(ROUTINES))
            ours = line if self._owner or not DEFINED.match(line) else DEFINER.sub(b"", line, count=1)
            (self._held if self._holding else kept).append(ours)
        return b"".join(kept)


def defaults(head: bytes) -> tuple[str, str] | None:
    """The character set and the collation of the dumped database, from the first line of its dump."""
    found = DEFAULTS.match(head)
    return (found[1].decode(), found[2].decode()) if found else None


def is_dump(head: bytes) -> bool:
    """Whether this is how a dump of ours begins."""
    return BEGINNING.match(head) is not None


def _name(quoted: bytes) -> str:
    return quoted.decode(errors="surrogateescape").replace("``", "`")
