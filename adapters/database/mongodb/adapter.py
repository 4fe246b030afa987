"""MongoDB as a source of dumps and a target of restores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Self

from adapters.database.mongodb import client, unfinished
from adapters.database.mongodb.client import Client
from adapters.database.mongodb.config import SCHEMES, MongoDBConfig
from adapters.database.mongodb.dump import MongoDBDump
from adapters.database.mongodb.instance import MongoDBInstanceDump, oplog_can_be_read
from adapters.database.mongodb.instance_restore import MongoDBInstanceRestoration, require_empty
from adapters.database.mongodb.restore import FORBIDDEN, NAME_BYTES, MongoDBRestoration, exists, target_exists
from adapters.database.mongodb.session import SYSTEM, connected
from adapters.database.mongodb.session import Client as Session
from adapters.database.tools import Tool
from adapters.host import LocalHost
from core.errors import DBackupError, RestoreError
from core.ports import DatabaseInfo, DumpOptions, Host, RestoreTarget, ServerInfo
from core.unfinished import UnfinishedDatabase


class MongoDB:
    """One MongoDB server, replica set or cluster. It holds no connection between calls and may be shared."""

    engine: ClassVar[str] = "mongodb"
    label: ClassVar[str] = "MongoDB"
    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    extension: ClassVar[str] = MongoDBDump.extension
    default_port: ClassVar[int] = 27017
    config_type: ClassVar[type[MongoDBConfig]] = MongoDBConfig

    def __init__(self, config: MongoDBConfig, host: Host | None = None) -> None:
        self._config = config
        self._host = host or LocalHost()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The deployment a URL names. Raises ConfigurationError."""
        return cls(MongoDBConfig.from_url(url))

    @classmethod
    def tools(cls) -> list[Tool]:
        """The client tools of this machine, for an examination of it."""
        try:
            found = client.installed(LocalHost())
        except DBackupError as missing:
            return [Tool(False, missing.message, missing.hint)]
        return [Tool(True, f"{found} in {found.folder}")]

    def describe(self) -> str:
        """The hosts and the database, without user or password."""
        database = self._config.database
        return f"{database} on {self._config.address}" if database else self._config.address

    def probe(self) -> ServerInfo:
        """Connect and say what answers. Raises ConnectionError, ConfigurationError or ToolMissing."""
        with connected(self._config) as session:
            version = str(session.server_info()["version"])
        return ServerInfo(self.engine, version, str(self._client))

    def databases(self) -> list[DatabaseInfo]:
        """Every database but admin, config and local, with its size in bytes and its number of collections."""
        with connected(self._config) as session:
            sizes = {one["name"]: one.get("sizeOnDisk") for one in session.list_databases()}
            return [
                DatabaseInfo(name, int(size) if size is not None else None, _collections(session, name))
                for name, size in sorted(sizes.items())
                if name not in SYSTEM
            ]

    def default_database(self) -> str | None:
        """The database of the configuration, or None for the whole server."""
        return self._config.database

    def target_name(self, database: str | None) -> str | None:
        """The database's own name; without one, the one of the configuration."""
        return database or self._config.database

    def dump(self, database: str, options: DumpOptions) -> MongoDBDump:
        """Dump one database. Entering raises AdapterError, ConnectionError or ConfigurationError."""
        return MongoDBDump(self._config, self._host, self._client, database, options)

    def dump_instance(self, databases: Sequence[str]) -> MongoDBInstanceDump | None:
        """All databases as of one moment. None where no operations are recorded, or this user may not read them."""
        if not oplog_can_be_read(self._config):
            return None
        return MongoDBInstanceDump(self._config, self._host, self._client, databases)

    def dump_globals(self) -> None:
        """None: users and roles have no object of their own."""

    def check_restore(self, target: RestoreTarget) -> None:
        """Raise what stands against a restore: TargetExists, an impossible name, tools that are missing."""
        _ = self._client
        if target.together:
            require_empty(self._config)
            return
        _check_name(target.database)
        if exists(self._config, target.database) and not target.overwrite:
            raise target_exists(target.database)

    def restore(self, target: RestoreTarget) -> MongoDBRestoration | MongoDBInstanceRestoration:
        """Open a restoration. Raises RestoreError for an impossible name, or ToolMissing."""
        if target.together:
            return MongoDBInstanceRestoration(self._config, self._host, self._client)
        _check_name(target.database)
        return MongoDBRestoration(self._config, self._host, self._client, target)

    def unfinished(self) -> list[UnfinishedDatabase]:
        """Databases of restores that were killed or are under way. Raises ConnectionError or AdapterError."""
        with connected(self._config) as session:
            return list(unfinished.unfinished(session))

    def drop_unfinished(self, name: str) -> None:
        """Drop one of them. Raises AdapterError for one that must stay, or ConnectionError."""
        with connected(self._config) as session:
            unfinished.drop(session, name)

    @cached_property
    def _client(self) -> Client:
        return client.installed(self._host, self._config.client_path)


def _collections(session: Session, database: str) -> int:
    names = session[database].list_collection_names()
    return len([name for name in names if not name.startswith("system.")])


def _check_name(name: str) -> None:
    if not name or len(name.encode()) > NAME_BYTES or set(name) & set(FORBIDDEN):
        raise RestoreError(
            f"MongoDB cannot have a database named {name!r}",
            hint=f'give --as NEWNAME, of 1 to {NAME_BYTES} bytes and without any of / \\ . " $ and spaces',
        )
    if name in SYSTEM:
        raise RestoreError(f"'{name}' is a database of the server itself", hint="give --as NEWNAME")
