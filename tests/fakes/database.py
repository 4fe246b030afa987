"""A database server in memory. It passes the contract of the real engines, and can be told to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import AdapterError, DumpError, RestoreError, TargetExists
from core.manifest import Contents
from core.ports import DatabaseInfo, DumpOptions, RestoreTarget, ServerInfo
from core.streams import Chunk, Chunks

Row = tuple[int, str]
Tables = Mapping[str, Sequence[Row]]  # a snapshot: writers put a new mapping in its place
COMPLETE = "-- complete"
CHUNK = 64 * 1024


@dataclass
class MemoryServer:
    """The databases, by name. ``globals`` is what a dump of the whole server brings besides, if anything.

    ``fail_after`` is the number of bytes after which a dump fails, None for never.
    """

    databases: dict[str, Tables] = field(default_factory=dict)
    globals: str | None = None
    fail_after: int | None = None


class MemoryDatabase:
    """The adapter of a :class:`MemoryServer`."""

    engine: ClassVar[str] = "memory"

    def __init__(self, server: MemoryServer, database: str | None = None) -> None:
        self._server = server
        self._database = database

    def describe(self) -> str:
        return f"{self._database} in memory" if self._database else "memory"

    def probe(self) -> ServerInfo:
        return ServerInfo(self.engine, "1.0", "memory 1.0")

    def databases(self) -> list[DatabaseInfo]:
        return [DatabaseInfo(name, tables=len(tables)) for name, tables in sorted(self._server.databases.items())]

    def default_database(self) -> str | None:
        return self._database

    def target_name(self, database: str | None) -> str | None:
        return database or self._database

    def dump(self, database: str, options: DumpOptions) -> MemoryDump:
        return MemoryDump(self._server, database, options)

    def dump_globals(self) -> MemoryGlobals | None:
        return None if self._server.globals is None else MemoryGlobals(self._server.globals)

    def check_restore(self, target: RestoreTarget) -> None:
        if target.database in self._server.databases and not target.overwrite:
            raise TargetExists(
                f"a database named '{target.database}' exists already",
                hint="give --overwrite to replace it, or --as NEWNAME to restore beside it",
            )

    def restore(self, target: RestoreTarget) -> MemoryRestoration:
        return MemoryRestoration(self._server, target)


class MemoryDump:
    """One database as JSON, closed by a line that says it is complete."""

    dump_format = "sql"
    extension = "sql"

    def __init__(self, server: MemoryServer, database: str, options: DumpOptions) -> None:
        self._server, self._database, self._options = server, database, options
        self._tables: Tables = {}

    def __enter__(self) -> MemoryDump:
        if self._database not in self._server.databases:
            raise AdapterError(
                f"there is no database named '{self._database}'",
                hint=f"there are: {', '.join(sorted(self._server.databases))}",
            )
        self._tables = self._server.databases[self._database]
        return self

    def __exit__(self, *exc: object) -> None:
        self._tables = {}

    def chunks(self) -> Iterator[Chunk]:
        lines = [json.dumps([name, list(rows)]) for name, rows in self._tables.items()]
        body = "\n".join([*lines, COMPLETE, ""]).encode()
        limit = len(body) if self._server.fail_after is None else self._server.fail_after
        for start in range(0, min(limit, len(body)), CHUNK):
            yield body[start : min(start + CHUNK, limit)]
        if limit < len(body):
            raise DumpError("memory exited with 1: told to fail", hint="look into the server's log")

    def contents(self) -> Contents:
        return counted(self._tables, self._options.exact_rows)


@dataclass
class MemoryGlobals:
    """What belongs to the server and no database."""

    text: str
    dump_format: str = "sql"
    extension: str = "sql"

    def __enter__(self) -> MemoryGlobals:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held."""

    def chunks(self) -> Iterator[Chunk]:
        yield self.text.encode()

    def contents(self) -> Contents | None:
        return None


class MemoryRestoration:
    """A database being read back; it joins the others when it is published."""

    def __init__(self, server: MemoryServer, target: RestoreTarget) -> None:
        self._server, self._target = server, target
        self._tables: Tables = {}

    def __enter__(self) -> MemoryRestoration:
        return self

    def __exit__(self, *exc: object) -> None:
        self._tables = {}

    def load(self, chunks: Chunks) -> None:
        *lines, last, end = ["", "", *b"".join(bytes(chunk) for chunk in chunks).decode().split("\n")]
        if last != COMPLETE or end:
            raise RestoreError("the dump ends before it is complete", hint="verify the backup")
        self._tables = {
            name: [(key, word) for key, word in rows] for name, rows in map(json.loads, filter(None, lines))
        }

    def contents(self, expected: Contents | None) -> Contents:
        exact = counted(self._tables)
        if expected is None:
            return exact
        return exact.model_copy(update={"estimated": tuple(t for t in exact.rows if t in expected.estimated)})

    def publish(self) -> str:
        self._server.databases[self._target.database] = self._tables
        return f"database '{self._target.database}' in memory"


def counted(tables: Tables, exact_rows: int = 1_000_000) -> Contents:
    """What the tables hold. The counts of large ones are called estimates, as a real engine's would be."""
    rows = {name: len(found) for name, found in tables.items()}
    return Contents(tables=len(rows), rows=rows, estimated=tuple(t for t, n in rows.items() if n > exact_rows))
