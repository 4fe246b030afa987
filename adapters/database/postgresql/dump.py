"""A database, and what belongs to the server, on their way out.

One session of ours holds the snapshot that ``pg_dump`` reads from and counts rows on it, so that what the manifest
promises is what the dump holds, whoever writes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from threading import Event

import psycopg

from adapters.database.postgresql import catalogue
from adapters.database.postgresql.client import Client
from adapters.database.postgresql.config import PostgreSQLConfig
from adapters.database.postgresql.selection import Relation, Selection, select
from adapters.database.postgresql.session import Connection, connect, connect_beside, translated
from core.errors import DumpError
from core.manifest import Contents
from core.ports import Command, DumpOptions, Host
from core.streams import Chunk

MAGIC = b"PGDMP"
# An archive ends with the mark that closes a table's data, a length of nothing (a sign and four bytes), or, without any
# data, with an empty position in its list of contents. Text that is uncompressed holds no such bytes.
END = bytes(5)
GLOBALS_END = b"-- PostgreSQL database cluster dump complete\n"
CANCEL_TIMEOUT = 5.0  # seconds
MAY_READ_PASSWORDS = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
PARTIAL = "filters of the job left a part of the database out"
NO_PASSWORDS = "the role that made the backup may not read passwords: the roles come back without theirs"
ClientFor = Callable[[Connection], Client]  # the client that fits the server of a connection


def dump_command(config: PostgreSQLConfig, client: Client, database: str, snapshot: str, chosen: Selection) -> Command:
    """A whole dump in the custom format, uncompressed: compression is a stage of ours."""
    options = ("--format=custom", "--compress=0", "--no-password", f"--snapshot={snapshot}")
    return Command((client.program("pg_dump"), *options, *chosen.arguments()), config.environment(database))


def globals_command(config: PostgreSQLConfig, client: Client, *, passwords: bool) -> Command:
    """A dump of roles, tablespaces and their settings."""
    options = ("--globals-only", "--no-password", *(() if passwords else ("--no-role-passwords",)))
    environment = config.environment("postgres")
    del environment["PGDATABASE"]  # pg_dumpall chooses one that is there
    return Command((client.program("pg_dumpall"), *options), environment)


class PostgreSQLDump:
    """One database in pg_dump's custom format. Enter it, draw its chunks once, ask for its contents, leave it."""

    dump_format = "pg_custom"
    extension = "dump"

    def __init__(
        self, config: PostgreSQLConfig, host: Host, client_for: ClientFor, database: str, options: DumpOptions
    ) -> None:
        self._config, self._host, self._client_for = config, host, client_for
        self._database, self._options = database, options
        self._held = ExitStack()

    def __enter__(self) -> PostgreSQLDump:
        with ExitStack() as opening:
            connection = connect(self._config, self._database)
            opening.callback(connection.close)
            client = self._client_for(connection)
            with translated(DumpError):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
                found = catalogue.read(connection)
            chosen = select(found, self._options)
            self._notes = (PARTIAL,) if chosen.arguments() else ()
            kept = [relation for relation in found.relations if chosen.keeps(relation)]
            self._counting = opening.enter_context(_Counting(connection, kept, self._options.exact_rows))
            command = dump_command(self._config, client, self._database, snapshot, chosen)
            self._stream = opening.enter_context(self._host.stream(command))
            self._held = opening.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The archive. Raises DumpError after the last chunk unless pg_dump and the counting both succeeded.

        Its end is looked at, too, whatever the exit code says: what is cut elsewhere than between two tables is found.
        """
        first = next(self._stream, b"")
        if first and bytes(first[: len(MAGIC)]) != MAGIC:
            raise DumpError("what pg_dump wrote is no archive", hint="look what is installed under its name")
        if not first:
            raise DumpError("pg_dump wrote nothing", hint="look what is installed under its name")
        tail = bytes(first[-len(END) :])
        yield first
        for chunk in self._stream:
            self._counting.raise_if_failed()
            tail = (tail + bytes(chunk[-len(END) :]))[-len(END) :]
            yield chunk
        if tail != END:
            raise DumpError(
                "pg_dump ended well, but its archive ends before it is complete",
                hint="look what is installed under its name, then try again",
            )
        self._counting.contents()

    def contents(self) -> Contents:
        """Tables, rows and roles, as the dump's snapshot shows them; a note when filters left something out."""
        return self._counting.contents().model_copy(update={"notes": self._notes})


class PostgreSQLGlobals:
    """The roles and tablespaces of the server, as SQL."""

    dump_format = "sql"
    extension = "sql"

    def __init__(self, config: PostgreSQLConfig, host: Host, client_for: ClientFor) -> None:
        self._config, self._host, self._client_for = config, host, client_for
        self._held = ExitStack()

    def __enter__(self) -> PostgreSQLGlobals:
        with connect_beside(self._config) as connection, translated(DumpError):
            client = self._client_for(connection)
            ((self._passwords,),) = connection.execute(MAY_READ_PASSWORDS).fetchall()
        command = globals_command(self._config, client, passwords=self._passwords)
        self._stream = self._held.enter_context(self._host.stream(command))
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The script. Raises DumpError after the last chunk unless it ends with pg_dumpall's own last line."""
        tail = b""
        for chunk in self._stream:
            tail = (tail + bytes(chunk[-2 * len(GLOBALS_END) :]))[-2 * len(GLOBALS_END) :]
            yield chunk
        if GLOBALS_END not in tail:
            raise DumpError("the output of pg_dumpall ends before it is complete", hint="try again")

    def contents(self) -> Contents:
        """No tables; a note when the passwords are not in it."""
        return Contents(tables=0, rows={}, notes=() if self._passwords else (NO_PASSWORDS,))


class _Counting:
    """Counts rows in a thread beside the dump, on the dump's snapshot. Leaving it ends the counting."""

    def __init__(self, connection: Connection, relations: list[Relation], exact_rows: int) -> None:
        self._connection, self._relations, self._exact_rows = connection, relations, exact_rows
        self._stopped = Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="count")

    def __enter__(self) -> _Counting:
        self._result: Future[Contents] = self._pool.submit(self._count)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        if not self._result.done():
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        self._pool.shutdown()

    def contents(self) -> Contents:
        """What was counted, as soon as it is. Raises DumpError."""
        return self._result.result()

    def raise_if_failed(self) -> None:
        """Raise what went wrong so far: a dump whose rows cannot be counted need not go on."""
        if self._result.done():
            self._result.result()

    def _count(self) -> Contents:
        # In a savepoint: a count that fails must not take the snapshot away from pg_dump, which would then report
        # that instead of the cause.
        with translated(DumpError), self._connection.transaction():
            return catalogue.measure(
                self._connection, self._relations, lambda _, estimate: estimate <= self._exact_rows, self._stopped
            )
