"""PostgreSQL as a source of dumps and a target of restores."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self

from adapters.database.beside import target_exists
from adapters.database.postgresql import client, swap, unfinished
from adapters.database.postgresql.client import Client
from adapters.database.postgresql.config import SCHEMES, PostgreSQLConfig
from adapters.database.postgresql.dump import PostgreSQLDump, PostgreSQLGlobals
from adapters.database.postgresql.restore import NAME_BYTES, PostgreSQLRestoration
from adapters.database.postgresql.session import Connection, connect, connect_beside, translated
from adapters.database.tools import Tool
from adapters.host import LocalHost
from core.errors import RestoreError
from core.ports import DatabaseInfo, DumpOptions, Host, RestoreTarget, ServerInfo
from core.unfinished import UnfinishedDatabase

DATABASES = """
SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END
FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname
"""
MISSING_ROLES = (
    "SELECT role FROM unnest(%s::text[]) AS role WHERE role NOT IN (SELECT rolname FROM pg_roles) ORDER BY role"
)
MAY_CREATE = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
MAY_REPLACE = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s"


class PostgreSQL:
    """One PostgreSQL server. It holds no connection between calls and may be shared."""

    engine: ClassVar[str] = "postgresql"
    label: ClassVar[str] = "PostgreSQL"
    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    extension: ClassVar[str] = PostgreSQLDump.extension
    default_port: ClassVar[int] = 5432
    config_type: ClassVar[type[PostgreSQLConfig]] = PostgreSQLConfig

    def __init__(self, config: PostgreSQLConfig, host: Host | None = None) -> None:
        self._config = config
        self._host = host or LocalHost()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The server a URL names. Raises ConfigurationError."""
        return cls(PostgreSQLConfig.from_url(url))

    @classmethod
    def tools(cls) -> list[Tool]:
        """The client tools of this machine, for an examination of it."""
        found: dict[str, Client] = {}
        for one in client.installed(LocalHost()):
            found.setdefault(str(one), one)  # what stands in PATH is often a wrapper of one that was found before
        if not found:
            return [Tool(False, "pg_dump is not installed", "install it: apt-get install postgresql-client")]
        return [Tool(True, f"{one} in {one.folder}") for one in found.values()]

    def describe(self) -> str:
        """The server and the database, without user or password."""
        database = self._config.database
        return f"{database} on {self._config.address}" if database else self._config.address

    def probe(self) -> ServerInfo:
        """Connect and say what answers. Raises ConnectionError, AdapterError or ToolMissing."""
        with self._session() as connection:
            major, minor = divmod(connection.info.server_version, 10000)
        return ServerInfo(self.engine, f"{major}.{minor}", str(client.for_dump(self._clients, major)))

    def databases(self) -> list[DatabaseInfo]:
        """Every database but templates and those that nobody may connect to, with its size in bytes."""
        with connect_beside(self._config) as connection, translated():
            return [DatabaseInfo(name, size) for name, size in connection.execute(DATABASES)]

    def default_database(self) -> str | None:
        """The database of the configuration, or None for the whole server."""
        return self._config.database

    def target_name(self, database: str | None) -> str | None:
        """The database's own name; without one, the one of the configuration."""
        return database or self._config.database

    def dump(self, database: str, options: DumpOptions) -> PostgreSQLDump:
        """Dump one database. Entering raises AdapterError, ConnectionError, ToolMissing or ConfigurationError."""
        return PostgreSQLDump(self._config, self._host, self._client_for, database, options)

    def dump_globals(self) -> PostgreSQLGlobals:
        """Dump roles and tablespaces: with the roles' passwords if ours may read them."""
        return PostgreSQLGlobals(self._config, self._host, self._client_for)

    def check_restore(self, target: RestoreTarget) -> None:
        """Raise what stands against a restore: TargetExists, missing roles or rights, a client that does not fit."""
        _check_name(target.database)
        with connect_beside(self._config, target.database) as connection, translated(RestoreError):
            _check_place(connection, target)
            _check_roles(connection, target)
            self._client_to_restore(connection, target)

    def restore(self, target: RestoreTarget) -> PostgreSQLRestoration:
        """Open a restoration beside the target. Raises ConnectionError or ToolMissing."""
        _check_name(target.database)
        with connect_beside(self._config, target.database) as connection:
            chosen = self._client_to_restore(connection, target)
            server = _major(connection)
        return PostgreSQLRestoration(self._config, self._host, chosen, server, target)

    def unfinished(self) -> list[UnfinishedDatabase]:
        """Databases of restores that were killed or are under way. Raises ConnectionError or AdapterError."""
        with connect_beside(self._config) as connection, translated():
            return list(unfinished.unfinished(connection))

    def drop_unfinished(self, name: str) -> None:
        """Drop one of them. Raises AdapterError for one that must stay, or ConnectionError."""
        with connect_beside(self._config) as connection, translated():
            unfinished.drop(connection, name)

    @cached_property
    def _clients(self) -> tuple[Client, ...]:
        return client.installed(self._host, self._config.client_path)

    def _client_for(self, connection: Connection) -> Client:
        return client.for_dump(self._clients, _major(connection))

    def _client_to_restore(self, connection: Connection, target: RestoreTarget) -> Client:
        return client.for_restore(self._clients, _major(connection), target.dumped_by)

    def _session(self) -> Connection:
        database = self._config.database
        return connect(self._config, database) if database else connect_beside(self._config)


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10000


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise RestoreError(
            f"PostgreSQL cannot have a database named {name!r}", hint=f"give --as NEWNAME, of 1 to {NAME_BYTES} bytes"
        )


def _check_place(connection: Connection, target: RestoreTarget) -> None:
    ((may_create,),) = connection.execute(MAY_CREATE).fetchall()
    if not may_create:
        raise RestoreError(
            f"the role '{connection.info.user}' may not create databases",
            hint=f'let it: ALTER ROLE "{connection.info.user}" CREATEDB, or restore with another role',
        )
    if not swap.exists(connection, target.database):
        return
    if not target.overwrite:
        raise target_exists(target.database)
    ((may_replace,),) = connection.execute(MAY_REPLACE, [target.database]).fetchall()
    if not may_replace:
        raise RestoreError(
            f"the role '{connection.info.user}' may not replace the database '{target.database}': it is not its owner",
            hint="restore with the owner or a superuser, or give --as NEWNAME",
        )


def _check_roles(connection: Connection, target: RestoreTarget) -> None:
    if not target.owner or target.expected is None:
        return
    missing = [role for (role,) in connection.execute(MISSING_ROLES, [list(target.expected.roles)])]
    if missing:
        raise RestoreError(
            f"the server lacks roles that the backup needs: {', '.join(missing)}",
            hint="create them (the backup's globals file has them), or give --no-owner",
        )
