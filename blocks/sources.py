"""Database sources as blocks: one for each engine, with the fields of the engine's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import SecretStr

from adapters.database.mongodb import MongoDB
from adapters.database.mysql import MariaDB, MySQL
from adapters.database.postgresql import PostgreSQL
from adapters.database.sqlite import SQLite
from blocks.sealed import AdapterBlock
from core.ports import DatabaseAdapter


class SourceBlock(AdapterBlock):
    """A database server or file that can be backed up and restored into."""

    def open(self) -> DatabaseAdapter:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        return cast(DatabaseAdapter, self._adapter())


class PostgreSQLSource(SourceBlock):
    """A PostgreSQL server, or one of its databases."""

    _block_type_name = "dbackup PostgreSQL"
    _block_type_slug = "dbackup-postgresql"
    adapter = PostgreSQL

    host: SecretStr
    port: int = 5432
    user: SecretStr | None = None
    password: SecretStr | None = None
    database: SecretStr | None = None
    sslmode: str | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    connect_timeout: int = 10
    client_path: str | None = None


class MySQLSource(SourceBlock):
    """A MySQL server, or one of its databases."""

    _block_type_name = "dbackup MySQL"
    _block_type_slug = "dbackup-mysql"
    adapter = MySQL

    host: SecretStr
    port: int = 3306
    user: SecretStr | None = None
    password: SecretStr | None = None
    database: SecretStr | None = None
    ssl_mode: str | None = None
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout: int = 10
    client_path: str | None = None


class MariaDBSource(MySQLSource):
    """A MariaDB server, or one of its databases."""

    _block_type_name = "dbackup MariaDB"
    _block_type_slug = "dbackup-mariadb"
    adapter = MariaDB


class SQLiteSource(SourceBlock):
    """An SQLite database file."""

    _block_type_name = "dbackup SQLite"
    _block_type_slug = "dbackup-sqlite"
    adapter = SQLite

    path: Path


class MongoDBSource(SourceBlock):
    """A MongoDB server, replica set or cluster, or one of its databases."""

    _block_type_name = "dbackup MongoDB"
    _block_type_slug = "dbackup-mongodb"
    adapter = MongoDB

    hosts: SecretStr
    srv: bool = False
    user: SecretStr | None = None
    password: SecretStr | None = None
    database: SecretStr | None = None
    auth_source: SecretStr | None = None
    auth_mechanism: str | None = None
    replica_set: SecretStr | None = None
    direct_connection: bool | None = None
    read_preference: str | None = None
    tls: bool | None = None
    tls_ca_file: str | None = None
    tls_certificate_key_file: str | None = None
    connect_timeout_ms: int = 10_000
    server_selection_timeout_ms: int = 10_000
    client_path: str | None = None


_BLOCKS = (PostgreSQLSource, MySQLSource, MariaDBSource, SQLiteSource, MongoDBSource)
SOURCES: dict[str, type[SourceBlock]] = {block.adapter.engine: block for block in _BLOCKS}
