"""Generated columns on their way out: each of their values becomes DEFAULT, which is all that MySQL takes back.

MariaDB's tool writes the values, because MariaDB ignores them on the way in; MySQL refuses the statement (error 3105).
Which columns are generated is read in the dump's own CREATE TABLE, so it is true for the rows that follow, whatever is
altered meanwhile. Only rows of tables that have such columns are looked into, line by line, by one regular expression
per table. It must match the whole of every row, so a row that is not understood is an error and never a wrong value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from adapters.database.mysql.parts import Part
from core.errors import DumpError

# A number, NULL, 0x…, or text in quotes, within which the tool escapes with backslashes.
VALUE = rb"[^',()\n]*+(?:'[^'\\]*+(?:\\.[^'\\]*+)*+')?+"
HEAD = re.compile(rb"^INSERT INTO `(?:[^`\n]|``)+` (?:\([^\n]*\) )?VALUES$", re.MULTILINE)
Rewrite = Callable[[bytes], tuple[bytes, int]]  # lines in, lines and the number of rows among them out


class GeneratedColumns:
    """A stage of parts. ``tables`` says for each column of a table whether it is generated; it grows meanwhile.

    It holds at most the longest row of a table that has such columns. Raises DumpError for a row it cannot read.
    """

    def __init__(self, tables: dict[str, list[bool]]) -> None:
        self._tables = tables
        self._line = bytearray()

    def __call__(self, parts: Iterator[Part]) -> Iterator[Part]:
        table, rewrite = None, None
        for part in parts:
            if part.table != table:
                table, rewrite = part.table, self._rewrite_of(part.table)
            if rewrite is None:
                yield part
            elif lines := self._whole_lines(part.data):
                yield Part(_rewritten(lines, rewrite, table), table)

    def _rewrite_of(self, table: str | None) -> Rewrite | None:
        columns = self._tables.get(table, []) if table is not None else []
        return _defaults(columns) if any(columns) else None

    def _whole_lines(self, data: bytes) -> bytes:
        end = data.rfind(b"\n") + 1
        if not end:
            self._line += data
            return b""
        lines = bytes(self._line) + data[:end]
        self._line = bytearray(data[end:])
        return lines


def _defaults(columns: Sequence[bool]) -> Rewrite:
    """What puts DEFAULT for the values of generated columns, in rows with as many values as there are ``columns``."""
    pattern, replacement, group = [], [], 0
    for generated, run in groupby(columns):
        count = len(list(run))
        values = b",".join([VALUE] * count)
        if generated:
            pattern.append(values)
            replacement.append(b",".join([b"DEFAULT"] * count))
        else:
            group += 1
            pattern.append(b"(" + values + b")")
            replacement.append(rb"\g<%d>" % group)
    row = re.compile(rb"^\(" + b",".join(pattern) + rb"\)(?=[,;]$)", re.MULTILINE)
    template = b"(" + b",".join(replacement) + b")"
    return lambda lines: row.subn(template, lines)


def _rewritten(lines: bytes, rewrite: Rewrite, table: str | None) -> bytes:
    written, count = rewrite(lines)
    if count + len(HEAD.findall(lines)) != lines.count(b"\n"):
        raise DumpError(
            f"a row of the table '{table}', which has generated columns, is not written as mariadb-dump 10.11 does",
            hint="use the client tools of MariaDB 10.11 or newer",
        )
    return written
