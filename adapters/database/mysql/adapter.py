"""MySQL and MariaDB as sources of dumps and targets of restores."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self

from adapters.database.beside import beside, target_exists
from adapters.database.mysql import catalogue, client, swap, unfinished
from adapters.database.mysql.client import Client
from adapters.database.mysql.config import MariaDBConfig, MySQLConfig
from adapters.database.mysql.dump import MySQLDump, MySQLGlobals
from adapters.database.mysql.restore import MySQLRestoration
from adapters.database.mysql.session import SYSTEM, Connection, connect, database_names, quoted, translated
from adapters.database.tools import Tool
from adapters.host import LocalHost
from core.errors import RestoreError
from core.ports import DatabaseInfo, DumpOptions, Host, RestoreTarget, ServerInfo
from core.unfinished import BUILT, UnfinishedDatabase

SIZES = """
SELECT TABLE_SCHEMA, CAST(SUM(DATA_LENGTH + INDEX_LENGTH) AS UNSIGNED),
       SUM(TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED'))
FROM information_schema.TABLES GROUP BY TABLE_SCHEMA
"""
USERS = "SELECT CONCAT(User, '@', Host) FROM mysql.user"


class MySQL:
    """One MySQL server. It holds no connection between calls and may be shared."""

    engine: ClassVar[str] = "mysql"
    label: ClassVar[str] = "MySQL"
    schemes: ClassVar[tuple[str, ...]] = ("mysql",)
    extension: ClassVar[str] = MySQLDump.extension
    default_port: ClassVar[int] = 3306
    config_type: ClassVar[type[MySQLConfig]] = MySQLConfig

    def __init__(self, config: MySQLConfig, host: Host | None = None) -> None:
        self._config = config
        self._host = host or LocalHost()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The server a URL names. Raises ConfigurationError."""
        return cls(cls.config_type.from_url(url))

    @classmethod
    def tools(cls) -> list[Tool]:
        """The client tools of this machine, for an examination of it."""
        found = [one for one in client.installed(LocalHost()) if one.mariadb]
        if not found:
            return [Tool(False, "mariadb-dump is not installed", "install it: apt-get install mariadb-client")]
        return [Tool(True, f"{one} in {one.folder}") for one in found[:1]]

    def describe(self) -> str:
        """The server and the database, without user or password."""
        database = self._config.database
        return f"{database} on {self._config.address}" if database else self._config.address

    def probe(self) -> ServerInfo:
        """Connect and say what answers. Raises ConnectionError, AdapterError, ConfigurationError or ToolMissing."""
        with connect(self._config, self._config.database) as connection:
            return ServerInfo(self.engine, connection.version, str(self._client_for(connection)))

    def databases(self) -> list[DatabaseInfo]:
        """Every database that the user may see but the server's own, with its size in bytes and its tables."""
        with connect(self._config) as connection, translated():
            sizes = {str(name): (int(size or 0), int(tables or 0)) for name, size, tables in connection.rows(SIZES)}
            return [DatabaseInfo(name, *sizes.get(name, (0, 0))) for name in database_names(connection)]

    def default_database(self) -> str | None:
        """The database of the configuration, or None for the whole server."""
        return self._config.database

    def target_name(self, database: str | None) -> str | None:
        """The database's own name; without one, the one of the configuration."""
        return database or self._config.database

    def dump(self, database: str, options: DumpOptions) -> MySQLDump:
        """Dump one database. Entering raises AdapterError, ConnectionError, ToolMissing or ConfigurationError."""
        return MySQLDump(self._config, self._host, self._client_for, database, options)

    def dump_globals(self) -> MySQLGlobals:
        """Dump the server's users, roles and grants, as far as ours may read them."""
        return MySQLGlobals(self._config)

    def check_restore(self, target: RestoreTarget) -> None:
        """Raise what stands against a restore: TargetExists, missing users or rights, a client that does not fit."""
        _check_name(self.label, target.database)
        with connect(self._config) as connection, translated(RestoreError):
            if swap.exists(connection, target.database):
                if not target.overwrite:
                    raise target_exists(target.database)
                swap.require_unreferenced(connection, target.database)
            _check_right(connection, self._config.login, beside(target.database, BUILT, swap.NAME_LENGTH))
            _check_definers(connection, target)
            self._client_for(connection)

    def restore(self, target: RestoreTarget) -> MySQLRestoration:
        """Open a restoration beside the target. Raises ConnectionError or ToolMissing."""
        _check_name(self.label, target.database)
        with connect(self._config) as connection:
            tools = self._client_for(connection)
        return MySQLRestoration(self._config, self._host, tools, target)

    def unfinished(self) -> list[UnfinishedDatabase]:
        """Databases of restores that were killed or are under way. Raises ConnectionError or AdapterError."""
        with connect(self._config) as connection, translated():
            return list(unfinished.unfinished(connection))

    def drop_unfinished(self, name: str) -> None:
        """Drop one of them. Raises AdapterError for one that must stay, or ConnectionError."""
        with connect(self._config) as connection, translated():
            unfinished.drop(connection, name)

    @cached_property
    def _clients(self) -> tuple[Client, ...]:
        return client.installed(self._host, self._config.client_path)

    def _client_for(self, connection: Connection) -> Client:
        return client.fitting(self._clients, connection.version, mariadb=connection.is_mariadb)


class MariaDB(MySQL):
    """One MariaDB server."""

    engine: ClassVar[str] = "mariadb"
    label: ClassVar[str] = "MariaDB"
    schemes: ClassVar[tuple[str, ...]] = ("mariadb",)
    config_type: ClassVar[type[MySQLConfig]] = MariaDBConfig


def _check_name(label: str, name: str) -> None:
    impossible = not name or "\0" in name or name.endswith(" ") or any(ord(character) > 0xFFFF for character in name)
    if impossible or len(name) > swap.NAME_LENGTH or name.lower() in SYSTEM:
        raise RestoreError(
            f"{label} cannot have a database named {name!r}",
            hint=f"give --as NEWNAME, of 1 to {swap.NAME_LENGTH} characters",
        )


def _check_right(connection: Connection, user: str, name: str) -> None:
    if catalogue.has_role(connection):
        return  # what a role may is not in these tables: the server decides
    if "CREATE" not in catalogue.privileges(connection, name):
        raise RestoreError(
            f"the user '{user}' may not create databases",
            hint=f"GRANT ALL PRIVILEGES ON *.* to it, or at least on {quoted('NAME%')}.* for the names to be restored",
        )


def _check_definers(connection: Connection, target: RestoreTarget) -> None:
    if not target.owner or target.expected is None or "SELECT" not in catalogue.privileges(connection, "mysql"):
        return
    users = {str(user) for (user,) in connection.rows(USERS)}
    missing = sorted(set(target.expected.roles) - users)
    if missing:
        raise RestoreError(
            f"the server lacks users who defined views, triggers, routines or events: {', '.join(missing)}",
            hint="create them (the backup's globals file has them), or give --no-owner",
        )
