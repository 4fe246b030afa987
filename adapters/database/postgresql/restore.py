"""A database on its way back: built beside the target under a name of its own, then renamed, in one transaction.

Until then the target is not touched, and a restoration that is left unpublished drops only what it made. Until then,
too, it holds a session there, by which everybody knows that it lives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain

import psycopg
from psycopg import sql

from adapters.database.beside import beside, drop_unfinished, in_bytes
from adapters.database.postgresql import catalogue, swap, unfinished
from adapters.database.postgresql.client import Client
from adapters.database.postgresql.config import PostgreSQLConfig
from adapters.database.postgresql.session import Connection, connect, connect_beside, translated
from core.errors import RestoreError
from core.log import logger
from core.manifest import Contents
from core.ports import Command, DumpOptions, Host, RestoreTarget
from core.streams import Chunk, Chunks
from core.unfinished import BUILT, REPLACED, Mark

log = logger(engine="postgresql")

MAGIC = b"PGDMP"
NAME_BYTES = 63  # what the server keeps of a name; it cuts the rest off in silence
TRANSACTION_TIMEOUT = b"SET transaction_timeout = 0;\n"
TRANSACTION_TIMEOUT_SINCE = 17
HEAD = 64 * 1024  # bytes of an archive that surely hold how the database was created
CREATED = re.compile(rb"CREATE DATABASE [^\0]*? WITH TEMPLATE = template0((?: [A-Z_]+ = (?:'[^'\0]*'|\w+))*);")
NOT_A_MEMBER = re.compile(r"must be member of role|must be able to SET ROLE")
SETTING = re.compile(r" ([A-Z_]+) = '?([^']*?)'?(?= [A-Z_]+ = |$)")
LOCALE = frozenset({"LOCALE_PROVIDER", "LOCALE", "LC_COLLATE", "LC_CTYPE", "ICU_LOCALE", "ICU_RULES", "BUILTIN_LOCALE"})


def restore_command(config: PostgreSQLConfig, client: Client, database: str, *, owner: bool, direct: bool) -> Command:
    """Read an archive from standard input, into the database or, unless ``direct``, as SQL to standard output.

    ``--dbname`` says no more than that there is one to connect to: which one is PGDATABASE's to say.
    """
    ownership = () if owner else ("--no-owner", "--no-privileges")
    destination = ("--no-password", "--dbname=application_name=dbackup") if direct else ("--file=-",)
    argv = (client.program("pg_restore"), "--exit-on-error", *ownership, *destination)
    return Command(argv, config.environment(database))


def script_command(config: PostgreSQLConfig, client: Client, database: str) -> Command:
    """Run an SQL script from standard input; its first error is the end."""
    options = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    return Command((client.program("psql"), *options), config.environment(database))


class PostgreSQLRestoration:
    """One restore. ``client`` reads the archive; ``server`` is the major version of the target."""

    def __init__(
        self, config: PostgreSQLConfig, host: Host, client: Client, server: int, target: RestoreTarget
    ) -> None:
        self._config, self._host, self._client = config, host, client
        self._server, self._target = server, target
        self._name = beside(target.database, BUILT, NAME_BYTES, in_bytes)
        self._made = False
        self._presence: Connection | None = None

    def __enter__(self) -> PostgreSQLRestoration:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        if self._made:
            drop_unfinished(self._name, self._drop, exc[1])

    def load(self, chunks: Chunks) -> None:
        """Create the database and load the archive. Raises RestoreError, or whatever the chunks raise."""
        rest = iter(chunks)
        head = _head(rest)
        if not head.startswith(MAGIC):
            raise RestoreError("this is no archive of pg_dump", hint="verify the backup")
        self._create(created_with(head))
        self._presence = connect(self._config, self._name)
        whole = chain([head], rest)
        with _advised():
            self._feed(whole)

    def _feed(self, archive: Chunks) -> None:
        if self._client.major < TRANSACTION_TIMEOUT_SINCE or self._server >= TRANSACTION_TIMEOUT_SINCE:
            self._host.feed(self._command(direct=True), archive)
            return
        # pg_restore since 17 begins with a setting that older servers do not know, and cannot be told not to.
        with closing(self._host.pipe(self._command(direct=False), archive)) as script:
            self._host.feed(script_command(self._config, self._client, self._name), _for_older_server(script))

    def contents(self, expected: Contents | None) -> Contents:
        """Count what was loaded: exactly what ``expected`` counts exactly, or by a dump's rule without it."""
        exact = {} if expected is None else {key: key not in expected.estimated for key in expected.rows}
        limit = DumpOptions().exact_rows if expected is None else -1
        with connect(self._config, self._name) as connection, translated(RestoreError):
            relations = catalogue.read(connection).relations
            return catalogue.measure(connection, relations, lambda key, rows: exact.get(key, rows <= limit))

    def publish(self) -> str:
        """Rename the database to the target's name, an old one out of its way in the same transaction."""
        name = self._target.database
        self._leave()
        with self._maintenance() as connection, translated(RestoreError):
            if self._target.overwrite and swap.exists(connection, name):
                old = beside(name, REPLACED, NAME_BYTES, in_bytes)
                swap.replace(connection, name, self._name, Mark.now(old, name, self._target.run))
                self._made = False
                kept = "" if swap.try_to_drop(connection, old) else f"; the old one could not be dropped: '{old}'"
            else:
                swap.rename_to_free(connection, self._name, name)
                self._made, kept = False, ""
        return f"database '{name}' on {self._config.address}{kept}"

    def _drop(self) -> None:
        with self._maintenance() as connection, translated(RestoreError):
            swap.drop(connection, self._name)

    def _leave(self) -> None:
        """End the session: a database in which there is one cannot be renamed."""
        if self._presence is not None:
            self._presence.close()

    def _maintenance(self) -> Connection:
        return connect_beside(self._config, self._target.database)

    def _command(self, *, direct: bool) -> Command:
        return restore_command(self._config, self._client, self._name, owner=self._target.owner, direct=direct)

    def _create(self, settings: dict[str, str]) -> None:
        """Create the database as the dumped one was, or as near to it as this server's locales allow."""
        encoding = {name: value for name, value in settings.items() if name == "ENCODING"}
        attempts = [settings, encoding, {**encoding, "LOCALE": "C"}]
        with self._maintenance() as connection, translated(RestoreError):
            while True:
                attempt = attempts.pop(0)
                try:
                    connection.execute(_creation(self._name, attempt))
                except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError):
                    if not attempts:
                        raise
                    continue
                break
            self._made = True
            mark = Mark.now(self._name, self._target.database, self._target.run)
            connection.execute(unfinished.comment(self._name, str(mark)))
        if attempt != settings:
            log.warning("the server has no such locale, another is used", wanted=settings, used=attempt)


@contextmanager
def _advised() -> Iterator[None]:
    """Say what to do where the role may not give objects back to their owners."""
    try:
        yield
    except RestoreError as failure:
        if not NOT_A_MEMBER.search(failure.message):
            raise
        raise RestoreError(
            failure.message, hint="restore as a superuser or as a member of that role, or give --no-owner"
        ) from None


def created_with(head: bytes) -> dict[str, str]:
    """The encoding and the locale of the dumped database, as its archive's head tells them."""
    created = CREATED.search(head)
    if created is None:
        return {}
    settings = dict(SETTING.findall(created[1].decode()))
    return {name: value for name, value in settings.items() if name in LOCALE | {"ENCODING"}}


def _head(chunks: Iterator[Chunk]) -> bytes:
    """The first chunks, until they surely hold how the database was created."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    return bytes(head)


def _creation(name: str, settings: dict[str, str]) -> sql.Composed:
    options = [sql.SQL(" " + key + " = {}").format(sql.Literal(value)) for key, value in settings.items()]
    return sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)) + sql.Composed(options)


def _for_older_server(script: Iterator[Chunk]) -> Iterator[Chunk]:
    """The script without the setting, which stands at its very beginning, ahead of anything of the user's."""
    yield bytes(next(script, b"")).replace(TRANSACTION_TIMEOUT, b"", 1)
    yield from script
