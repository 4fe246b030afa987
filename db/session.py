"""The connection to the database, which is brought up to date when it is opened.

SQLite is the default and needs nothing; PostgreSQL is named by URL where several machines share one database.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, literal, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core.errors import ConfigurationError
from core.masking import mask

HEAD = "0008"  # the newest migration; a test holds it against the folder of migrations
VERSION_TABLE = "dbackup_revision"  # not Alembic's usual name: other programs may share the database
_ALONE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7213467)"}
_BUSY_MILLISECONDS = 30_000


class Database:
    """An open, current database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def describe(self) -> str:
        """What people may see of its address, without the password."""
        return self.engine.url.render_as_string(hide_password=True)

    def require_answer(self) -> None:
        """Prove that it can be read. Raises ConfigurationError."""
        with self.session() as session:
            session.execute(select(literal(1)))

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on any exception. Raises ConfigurationError."""
        try:
            with self._sessions.begin() as session:
                yield session
        except SQLAlchemyError as error:
            raise _unusable(self.engine.url, error) from None


def open_database(url: str) -> Database:
    """Connect, and migrate when the database is older than the program. Raises ConfigurationError."""
    address = _address(url)
    try:
        engine = _engine(address)
        _bring_up_to_date(engine)
    except (SQLAlchemyError, OSError) as error:
        raise _unusable(address, error) from None
    return Database(engine)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError):
        raise ConfigurationError(
            "DBACKUP_DATABASE_URL is not the URL of a database",
            hint="write sqlite:////path/to/catalog.db or postgresql+psycopg://user:password@host/name",
        ) from None
    if address.get_backend_name() not in _ALONE:
        raise ConfigurationError(
            f"the catalog cannot be kept in {address.get_backend_name()}", hint="use SQLite or PostgreSQL"
        )
    if address.database and address.get_backend_name() == "sqlite":  # SQLAlchemy leaves a path as it is written
        return address.set(database=unquote(address.database))
    return address.set(drivername="postgresql+psycopg") if address.drivername == "postgresql" else address


def _engine(address: URL) -> Engine:
    if address.get_backend_name() != "sqlite":
        return create_engine(address, pool_pre_ping=True)
    if address.database:
        _make_private(Path(address.database))
    engine = create_engine(address, connect_args={"timeout": _BUSY_MILLISECONDS / 1000})
    event.listen(engine, "connect", _configure_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Make a missing file for its owner alone. One that is there is left to SQLite: closing it drops its locks."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _configure_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MILLISECONDS}", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    _use_write_ahead_log(cursor)
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    """Of several that open a new database at once, SQLite lets one switch and tells the others at once that it is
    locked, whatever the busy timeout."""
    deadline = time.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise ConfigurationError(
            f"the catalog was written by a newer version of dbackup (revision {revision}, this one knows {HEAD})",
            hint="use the newer version, or another DBACKUP_HOME",
        )
    _migrate(engine)


def _revision(connection: Connection) -> str | None:
    """Which migration the database is at. Asked without Alembic, which takes long to import."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def _migrate(engine: Engine) -> None:
    """Bring the tables up to date in one transaction; of two processes at once, the second finds it done."""
    from alembic import command
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(files("db").joinpath("migrations")).replace("%", "%%"))
    with engine.begin() as connection:
        connection.exec_driver_sql(_ALONE[engine.dialect.name])
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def _unusable(address: URL, error: Exception) -> ConfigurationError:
    cause = getattr(error, "orig", None) or error
    return ConfigurationError(
        f"the catalog {address.render_as_string(hide_password=True)} cannot be used: {mask(str(cause)).strip()}",
        hint="check DBACKUP_HOME or DBACKUP_DATABASE_URL, and that it is readable and writable",
    )
