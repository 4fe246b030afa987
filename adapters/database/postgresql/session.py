"""Our own sessions on the server, and the one place where psycopg's errors become ours.

No message repeats a connection string, so none can hold a password; causes are dropped for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from adapters.database.postgresql.config import PostgreSQLConfig
from core.errors import AdapterError, ConnectionError, DBackupError

Connection = psycopg.Connection[Any]

MISSING = re.compile(r"database .* does not exist", re.DOTALL)
CLOSED = re.compile(r"permission denied for database|not currently accepting connections")
REFUSED = re.compile(r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist")
# A backup takes as long as it takes: limits meant for the users of an application are not for it. Row security
# off means an error where rows would be hidden. An empty search path lets nobody slip in a function of theirs.
SETTINGS = """
SELECT pg_catalog.set_config(
    name, CASE name WHEN 'search_path' THEN '' WHEN 'row_security' THEN 'off' ELSE '0' END, false)
FROM pg_catalog.pg_settings
WHERE name IN ('search_path', 'row_security', 'max_parallel_workers_per_gather', 'statement_timeout', 'lock_timeout',
               'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')
"""


def connect(config: PostgreSQLConfig, database: str) -> Connection:
    """Open a session that commits each statement. Raises AdapterError or ConnectionError."""
    try:
        return _open(config, database)
    except psycopg.Error as failure:
        raise _refusal(config, database, failure) from None


def connect_beside(config: PostgreSQLConfig, database: str | None = None) -> Connection:
    """Open a session in some other database than ``database``, to ask about or act on the server as a whole."""
    candidates = ("postgres", "template1", config.database)
    names = [name for name in dict.fromkeys(candidates) if name and name != database]
    for name in names[:-1]:
        try:
            return _open(config, name)
        except psycopg.Error as failure:
            if not (MISSING.search(str(failure)) or CLOSED.search(str(failure))):
                raise _refusal(config, name, failure) from None
    return connect(config, names[-1])


@contextmanager
def translated(kind: type[DBackupError] = AdapterError) -> Iterator[None]:
    """Turn what psycopg raises inside into ours: a ConnectionError when the server is gone, else ``kind``."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as failure:
        raise kind(
            f"PostgreSQL refused: {_primary(failure)}", hint="grant the role what is missing, or use another role"
        ) from None
    except psycopg.Error as failure:
        if failure.sqlstate is None or failure.sqlstate.startswith(("08", "57P")):
            raise ConnectionError(
                f"the PostgreSQL server hung up: {_primary(failure)}", hint="look into the server's log, then try again"
            ) from None
        raise kind(f"PostgreSQL refused: {_primary(failure)}", hint="look into the server's log for more") from None


def database_names(connection: Connection) -> list[str]:
    """The databases that can be connected to, templates left out, in the order of their names."""
    query = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
    return [name for (name,) in connection.execute(query)]


def _open(config: PostgreSQLConfig, database: str) -> Connection:
    connection: Connection = psycopg.connect(**config.parameters(database), autocommit=True)
    connection.execute(SETTINGS)
    return connection


def _refusal(config: PostgreSQLConfig, database: str, failure: psycopg.Error) -> AdapterError:
    reason = _primary(failure)
    if MISSING.search(reason):
        return AdapterError(f"{config.address} has no database named '{database}'", hint=_there_are(config, database))
    if REFUSED.search(reason):
        return ConnectionError(
            f"{config.address} refused to let '{config.login}' in: {reason}",
            hint="check user and password, then try them with: dbackup source test NAME-OR-URL",
            permanent=True,
        )
    if CLOSED.search(reason):
        return AdapterError(
            f"'{config.login}' may not connect to the database '{database}': {reason}",
            hint="grant the role CONNECT on the database, or use another role",
        )
    return ConnectionError(
        f"the PostgreSQL server at {config.address} cannot be reached: {reason}",
        hint="check host, port and whether the server runs, then try it with: dbackup source test NAME-OR-URL",
    )


def _there_are(config: PostgreSQLConfig, database: str) -> str:
    try:
        with connect_beside(config, database) as connection:
            return f"there are: {', '.join(database_names(connection))}"
    except (AdapterError, psycopg.Error):
        return "check the name; the server did not say which databases there are"


def _primary(failure: psycopg.Error) -> str:
    """What the server said, in one line."""
    if failure.diag.message_primary:
        return failure.diag.message_primary
    lines = str(failure).strip().splitlines() or [type(failure).__name__]
    line = next((line for line in lines if "FATAL:" in line), lines[0])
    return re.split(r"FATAL: +| failed: ", line)[-1]
