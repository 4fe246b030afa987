"""A database on its way back: loaded into a new one beside the target, which is not touched before it is published.

For as long as the restore lives it holds a session and its lock, by which everybody knows that it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import pymysql

from adapters.database.beside import beside, drop_unfinished
from adapters.database.mysql import catalogue, client, swap, unfinished
from adapters.database.mysql.client import Client
from adapters.database.mysql.code import Code
from adapters.database.mysql.config import MySQLConfig
from adapters.database.mysql.dump import options_file
from adapters.database.mysql.script import Loading, defaults, is_dump
from adapters.database.mysql.session import Connection, connect, translated
from adapters.database.mysql.swap import Scripts
from core.errors import RestoreError
from core.log import logger
from core.manifest import Contents
from core.ports import Command, Host, RestoreTarget
from core.streams import Chunk, Chunks
from core.unfinished import BUILT, Mark

log = logger(engine="mysql")
HEAD = 4096  # bytes that surely hold a dump's first lines
NOT_COMPLETE = "the dump ends before its last line: it is not complete"


class MySQLRestoration:
    """One restore, with the client tools that fit the server."""

    def __init__(self, config: MySQLConfig, host: Host, tools: Client, target: RestoreTarget) -> None:
        self._config, self._host, self._tools, self._target = config, host, tools, target
        self._name = beside(target.database, BUILT, swap.NAME_LENGTH)
        self._mark = Mark.now(self._name, target.database, target.run)
        self._loading = Loading(owner=target.owner)
        self._made = False
        self._presence: Connection | None = None

    def __enter__(self) -> MySQLRestoration:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._made:
                drop_unfinished(self._name, self._drop, exc[1])
        finally:
            if self._presence is not None and self._presence.open:
                self._presence.close()

    def load(self, chunks: Chunks) -> None:
        """Create the database and load the dump. Raises RestoreError, or whatever the chunks raise."""
        rest = iter(chunks)
        head = _head(rest)
        if not is_dump(head):
            raise RestoreError("this is no dump of mariadb-dump or mysqldump", hint="verify the backup")
        self._presence = connect(self._config)
        with connect(self._config) as connection, translated(RestoreError):
            unfinished.hold(self._presence, self._name)
            self._create(connection, defaults(head))
            secure = connection.is_encrypted
        with options_file(self._config, tls=secure) as file:
            command = client.load_command(self._tools, file, self._name)
            self._host.feed(command, self._loading(chain([head], rest)))
        if not self._loading.is_complete:
            raise RestoreError(NOT_COMPLETE, hint="verify the backup, and restore another one")

    def contents(self, expected: Contents | None) -> Contents:
        """Count what was loaded, exactly but for tables that ``expected`` has only estimated; events in the dump."""
        waiting = Code()
        waiting.read(self._loading.events)
        with connect(self._config) as connection, translated(RestoreError):
            found = catalogue.counted(connection, self._name, expected, partial(unfinished.is_mark, self._name))
            code = catalogue.code(connection, self._name) | {"events": waiting.counts["events"]}
        return found.model_copy(update={"objects": code})

    def publish(self) -> str:
        """Move the tables to the target and write its code anew; see :mod:`adapters.database.mysql.swap`."""
        name, events, remarks = self._target.database, self._loading.events, list[str]()
        with connect(self._config) as connection, translated(RestoreError), self._scripts(connection) as scripts:
            if self._target.overwrite and swap.exists(connection, name):
                remarks = swap.replace(connection, scripts, self._mark, events)
            else:
                swap.place(connection, scripts, self._name, name, events)
            self._made = False
        return "; ".join([f"database '{name}' on {self._config.address}", *remarks])

    def _drop(self) -> None:
        with connect(self._config) as connection, translated(RestoreError):
            swap.drop(connection, self._name)

    def _create(self, connection: Connection, wanted: tuple[str, str] | None) -> None:
        try:
            swap.create(connection, self._name, wanted)
        except pymysql.Error as failure:
            if wanted is None or failure.args[0] not in (1115, 1253, 1273):  # unknown character set or collation
                raise
            swap.create(connection, self._name, None)
            log.warning("the server has no such collation, its own is used", wanted=wanted)
        self._made = True
        unfinished.mark(connection, self._mark)

    @contextmanager
    def _scripts(self, connection: Connection) -> Iterator[Scripts]:
        """The code of a database, read and run by the tools."""
        with options_file(self._config, tls=connection.is_encrypted) as file:

            def read(database: str, events: bool) -> bytes:
                views = catalogue.of_kind(connection, database, catalogue.VIEW)
                code = self._output(client.code_command(self._tools, file, database, events=events))
                return code + (self._output(client.views_command(self._tools, file, database, views)) if views else b"")

            def guards(database: str, table: str) -> bytes:
                return self._output(client.triggers_command(self._tools, file, database, table))

            def run(database: str, script: bytes) -> None:
                self._host.feed(client.load_command(self._tools, file, database), [script])

            yield Scripts(read, guards, run, lambda: connect(self._config))

    def _output(self, command: Command) -> bytes:
        with self._host.stream(command) as chunks:
            return b"".join(bytes(chunk) for chunk in chunks)


def _head(chunks: Iterator[Chunk]) -> bytes:
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    return bytes(head)
