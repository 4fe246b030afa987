"""A database, and the users of a server, on their way out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pymysql
from pymysql.constants import ER

from adapters.database.mysql import catalogue, client, triggers
from adapters.database.mysql.client import Client
from adapters.database.mysql.config import MySQLConfig
from adapters.database.mysql.script import HEADER, Inspection
from adapters.database.mysql.session import FORBIDDEN, Connection, connect, translated
from core.errors import AdapterError, DumpError
from core.manifest import Contents
from core.ports import DumpOptions, Host
from core.streams import Chunk

ClientFor = Callable[[Connection], Client]  # the client that fits the server of a connection
OWN_USERS = frozenset({"mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC", ""})
MAY_NOT = "the user that made the backup may not read the server's users: they and their grants are not in it"
UNUSED = frozenset({ER.PASSWORD_NO_MATCH, ER.NONEXISTING_GRANT})
CREATED = re.compile(r"^CREATE USER ")


class MySQLDump:
    """One database as SQL. Enter it, draw its chunks once, ask for its contents, leave it."""

    dump_format = "sql"
    extension = "sql"

    def __init__(
        self, config: MySQLConfig, host: Host, client_for: ClientFor, database: str, options: DumpOptions
    ) -> None:
        self._config, self._host, self._client_for = config, host, client_for
        self._database, self._options = database, options
        self._held = ExitStack()

    def __enter__(self) -> MySQLDump:
        with ExitStack() as opening:
            with connect(self._config, self._database) as connection, translated(DumpError):
                tool = self._client_for(connection)
                left_out = self._examine(connection)
                secure = connection.is_encrypted
            file = opening.enter_context(options_file(self._config, tls=secure, scratch=self._options.scratch))
            command = client.dump_command(tool, file, self._database, left_out)
            self._stream = opening.enter_context(self._host.stream(command))
            self._held = opening.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The script. Raises DumpError after the last chunk unless the tool ended well and wrote its last line."""
        return self._inspection(self._stream)

    def contents(self) -> Contents:
        """Tables, rows and code, counted in the dump itself; who must exist for it; what a person should know.

        A kind of code of which the server had another number than the dump is noted, and not compared when it is
        restored: somebody has changed it meanwhile.
        """
        rows, code = self._inspection.rows(), self._inspection.code()
        known = {kind: number for kind, number in code.items() if number == self._code[kind]}
        changed = [f"{number} of {self._code[kind]} {kind} are in the dump, so a restore does not compare their number"
                   for kind, number in code.items() if kind not in known]  # fmt: skip
        notes = (*self._notes, *changed)
        return Contents(tables=len(rows), rows=rows, objects=known, roles=self._definers, notes=notes)

    def _examine(self, connection: Connection) -> list[str]:
        """Look at the database before it is dumped, and give what is to be left out."""
        found = catalogue.relations(connection, self._database)
        left_out = catalogue.left_out(found, self._options)
        sight = list(catalogue.require_sight(connection, self._database))
        kept = [relation for relation in found if relation.name not in left_out]
        catalogue.require_dumpable(connection, kept, self._database)
        triggers.require_plain(connection, self._database)
        zoned = catalogue.computed_in_utc(connection, kept, self._database)
        self._notes = (*([catalogue.PARTIAL] if left_out else []), *sight, *catalogue.notes(kept), *zoned)
        self._code = catalogue.code(connection, self._database, left_out)
        self._definers = catalogue.definers(connection, self._database)
        names = (name.encode() for name in catalogue.defaults(connection, self._database))
        self._inspection = Inspection(HEADER % tuple(names), defaults=not connection.is_mariadb)
        return left_out


class MySQLGlobals:
    """The users and roles of the server with their grants, as SQL that creates those that are missing."""

    dump_format = "sql"
    extension = "sql"

    def __init__(self, config: MySQLConfig) -> None:
        self._config = config

    def __enter__(self) -> MySQLGlobals:
        self._notes: tuple[str, ...] = ()
        with connect(self._config) as connection, translated(DumpError):
            try:
                self._lines = list(_accounts(connection))
            except pymysql.MySQLError as refusal:
                if refusal.args[0] not in FORBIDDEN:
                    raise
                self._lines, self._notes = [], (MAY_NOT,)
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held."""

    def chunks(self) -> Iterator[Chunk]:
        """The script."""
        notes = [f"-- {note}" for note in self._notes]
        yield "\n".join(["-- Users, roles and grants", *notes, *self._lines, "-- End", ""]).encode()

    def contents(self) -> Contents:
        """No tables; a note when the users could not be read."""
        return Contents(tables=0, rows={}, notes=self._notes)


@contextmanager
def options_file(config: MySQLConfig, *, tls: bool, scratch: Path | None = None) -> Iterator[Path]:
    """A file that only we can read, with the login, for as long as the context lasts. Raises AdapterError."""
    with ExitStack() as held:
        try:
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="dbackup-", dir=scratch))
            path = Path(folder, "client.cnf")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(config.options_file(tls=tls))
        except OSError as error:
            raise AdapterError(
                f"the file with the login cannot be written: {error.strerror}", hint="make room for temporary files"
            ) from None
        yield path


def _accounts(connection: Connection) -> Iterator[str]:
    """The statements, roles first: users are granted them."""
    roles, users = _names(connection)
    # As MySQL 5.7 writes a user, without an escape, and as it must be written.
    named = {f"'{user}'@'{host}'": f"{connection.escape(user)}@{connection.escape(host)}" for user, host in users}
    for role in map(connection.escape, roles):
        yield f"CREATE ROLE IF NOT EXISTS {role};"
    for written, user in named.items():
        for statement in _said(connection, f"SHOW CREATE USER {user}", user):
            yield CREATED.sub("CREATE USER IF NOT EXISTS ", statement).replace(written, user)
    for role in map(connection.escape, roles):
        yield from _said(connection, f"SHOW GRANTS FOR {role}", role)
    for written, user in named.items():
        for statement in _said(connection, f"SHOW GRANTS FOR {user}", user):
            yield statement.replace(written, user)


def _said(connection: Connection, question: str, name: str) -> Iterator[str]:
    try:
        for (statement,) in connection.rows(question):
            yield f"{statement};"
    except pymysql.MySQLError as failure:
        if failure.args[0] not in UNUSED:
            raise
        yield f"-- The server does not use {name}: it resolves no host names"


def _names(connection: Connection) -> tuple[list[str], list[tuple[str, str]]]:
    roles = "is_role" if connection.is_mariadb else "'N'"
    found = connection.rows(f"SELECT User, Host, {roles} FROM mysql.user ORDER BY User, Host")  # noqa: S608
    known = [(str(user), str(host), role == "Y") for user, host, role in found if user not in OWN_USERS]
    return [user for user, _, role in known if role], [(user, host) for user, host, role in known if not role]
