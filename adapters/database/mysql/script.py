"""The text of a dump, read while it passes: which rows it holds, where it ends, and what of it waits.

The dump tool writes each row on a line of its own and escapes every line feed within a value, so rows are counted
where they are: the counts are those of the dump itself, whoever writes meanwhile, and cost no lock and no query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapters.database.mysql.code import Code
from adapters.database.mysql.generated import GeneratedColumns
from adapters.database.mysql.parts import Parts
from adapters.database.mysql.triggers import unqualified
from core.errors import DumpError
from core.streams import Chunk, Chunks

SANDBOX = re.compile(rb"/\*M?!999999\\- [^\n]*\n")  # clients before 2024 take it for a command that they do not know
BEGINNING = re.compile(rb"(?:-- dbackup: [^\n]*\n)?(?:/\*M?!999999\\- [^\n]*\n)?-- (?:MariaDB|MySQL) dump ")
END = re.compile(rb"\n-- Dump completed(?: on [^\n]*)?\n\Z")
LAST = 256  # bytes that surely hold the last line
HEADER = b"-- dbackup: default character set %s collate %s\n"
DEFAULTS = re.compile(rb"\A-- dbackup: default character set (\w+) collate (\w+)\n")
DEFINER = re.compile(rb" ?DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`")
# Where the tool writes one: in the line after DELIMITER, in a function's, a procedure's or an event's, and in a view's.
DEFINED = re.compile(rb"(?:CREATE|/\*!50003 CREATE\*/ /\*!50017|/\*!50106 CREATE\*/ /\*!50117|/\*!50013) DEFINER=`")
EVENTS = b"-- Dumping events for database "
ROUTINES = b"-- Dumping routines for database "


class Inspection:
    """A stage that passes a dump on without the sandbox line or its database's name, counts rows and proves its end.

    With ``defaults``, the values of generated columns become DEFAULT on the way.
    """

    def __init__(self, header: bytes, *, defaults: bool = False) -> None:
        self._header, self._defaults = header, defaults
        self._parts = Parts()
        self._rows: dict[str, int] = {}
        self._code = Code()
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

    def code(self) -> dict[str, int]:
        """How many views, triggers, routines and events the dump has given so far."""
        return self._code.counts

    def _counted(self, chunks: Chunks) -> Iterator[bytes]:
        parts = self._parts.of(chunks)
        for part in GeneratedColumns(self._parts.tables)(parts) if self._defaults else parts:
            if self._parts.rows_share_lines:
                raise DumpError(
                    "the dump tool writes several rows on a line, so they cannot be counted",
                    hint="use the client tools of MariaDB 10.11 or newer",
                )
            if part.table is not None:
                cut_here = self._last[-1:] == b"\n" and part.data[:1] == b"("
                self._rows[part.table] = self._rows.get(part.table, 0) + part.data.count(b"\n(") + cut_here
            else:
                self._code.read(part.data)
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
