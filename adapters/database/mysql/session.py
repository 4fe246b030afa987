"""Our own sessions on the server, and the one place where PyMySQL's errors become ours.

Causes are dropped: what a library says may quote a secret. Names stand in backquotes, everything else is a parameter.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CR, ER

from adapters.database.mysql.config import MySQLConfig
from core.errors import AdapterError, ConfigurationError, ConnectionError, DBackupError

SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
GONE = frozenset(
    {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, ER.SERVER_SHUTDOWN, ER.QUERY_INTERRUPTED, 1927, 0}
)  # 1927: MariaDB's connection killed; 0: PyMySQL's own, of a connection that was closed
REFUSED = frozenset({ER.ACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED, ER.HOST_IS_BLOCKED, 1698, 1862})
FORBIDDEN = frozenset({ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR, 1370})
# A backup takes as long as it takes: limits meant for the users of an application are not for it.
# Nobody waits long for those who are using a table, though: who waits for it keeps all others from it meanwhile.
PATIENCE = 30  # seconds
SESSION = "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s"
WAIT = f"SET SESSION lock_wait_timeout = {PATIENCE}"
SETTINGS = {True: f"{WAIT}, max_statement_time = 0", False: f"{WAIT}, max_execution_time = 0"}


if TYPE_CHECKING:
    _Base = pymysql.Connection[Any]
else:
    _Base = pymysql.Connection  # generic for type checkers only


class Connection(_Base):
    """A session that commits each statement."""

    def __init__(self, config: MySQLConfig, database: str | None) -> None:
        super().__init__(
            host=None if config.socket else config.host,
            port=config.port,
            unix_socket=config.socket,
            user=config.login,
            password=config.secret.encode(),  # the library would take text for Latin-1
            database=database,
            connect_timeout=config.connect_timeout,
            read_timeout=config.connect_timeout,
            write_timeout=config.connect_timeout,
            charset="utf8mb4",
            autocommit=True,
            ssl=_tls(config),
            ssl_disabled=config.ssl_mode == "disabled",
        )

    def wait_for_answers(self) -> None:
        """Wait for an answer as long as it takes; until then as long as for the connection."""
        self._read_timeout = self._write_timeout = None

    def _create_ssl_ctx(self, given: Any) -> ssl.SSLContext:
        # Left alone, the library reads every authority that the machine trusts for each session, and verifies nothing.
        return given if isinstance(given, ssl.SSLContext) else _unverified()

    @property
    def is_mariadb(self) -> bool:
        """Whether MariaDB answers."""
        return "mariadb" in self._banner.lower()

    @property
    def is_encrypted(self) -> bool:
        """Whether the session has TLS."""
        return bool(getattr(self, "_secure", False))

    @property
    def version(self) -> str:
        """The server's version: numbers and dots. MariaDB before 11 puts a 5.5.5 in front of its own."""
        return self._banner.removeprefix("5.5.5-").partition("-")[0]

    @property
    def session(self) -> int:
        """The server's number of this session; asked, for a proxy may have shaken hands in its place."""
        ((number,),) = self.rows("SELECT CONNECTION_ID()")
        return int(number)

    @property
    def _banner(self) -> str:
        return str(self.get_server_info())  # type: ignore[no-untyped-call]

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows."""
        with self.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())


def connect(config: MySQLConfig, database: str | None = None) -> Connection:
    """Open a session. Raises AdapterError, ConnectionError, or ConfigurationError for a server of the other engine."""
    try:
        connection = Connection(config, database)
    except (pymysql.Error, OSError, ValueError, RuntimeError) as failure:
        raise _refusal(config, database, failure) from None
    try:
        with translated():
            _require_tls(config, connection)
            _require_engine(config, connection)
            connection.rows(SETTINGS[connection.is_mariadb])
        connection.wait_for_answers()
    except BaseException:
        connection.close()
        raise
    return connection


def end_session(connection: Connection, number: int) -> None:
    """End another session of the user's and wait until it is gone: what it was doing is then done, or never will be.

    Raises ConnectionError when it does not go.
    """
    try:
        connection.rows(f"KILL {number:d}")
    except pymysql.Error as failure:
        if failure.args[0] != ER.NO_SUCH_THREAD:
            raise
    deadline = time.monotonic() + PATIENCE
    while connection.rows(SESSION, number):
        if time.monotonic() > deadline:
            raise ConnectionError(f"the server does not end its session {number}", hint="look into its process list")
        time.sleep(0.05)


@contextmanager
def translated(kind: type[DBackupError] = AdapterError) -> Iterator[None]:
    """Turn what PyMySQL raises inside into ours: a ConnectionError when the server is gone, else ``kind``."""
    try:
        yield
    except pymysql.Error as failure:
        code, reason = _said(failure)
        if code in GONE:
            raise ConnectionError(
                f"the server hung up: {reason}", hint="look into the server's log, then try again"
            ) from None
        hint = "grant the user what is missing, or use another user" if code in FORBIDDEN else ""
        raise kind(f"the server refused: {reason}", hint=hint or "look into the server's log for more") from None


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def table_beside_parameters(database: str, table: str) -> str:
    """A table's full name for a statement that has parameters: there, a percent sign stands for itself only doubled."""
    return f"{quoted(database)}.{quoted(table)}".replace("%", "%%")


def database_names(connection: Connection) -> list[str]:
    """The databases that the user may see, the server's own left out."""
    names = (str(name) for (name,) in connection.rows("SHOW DATABASES"))
    return sorted(name for name in names if name.lower() not in SYSTEM)


def _require_tls(config: MySQLConfig, connection: Connection) -> None:
    # Older releases of the library go on without it when the server does not offer it.
    if config.ssl_mode not in ("disabled", "preferred") and not connection.is_encrypted:
        raise ConnectionError(
            f"the session with {config.address} has no TLS", hint="let the server offer TLS, or change ssl-mode"
        )


def _require_engine(config: MySQLConfig, connection: Connection) -> None:
    found = "mariadb" if connection.is_mariadb else "mysql"
    if found != config.scheme:
        raise ConfigurationError(
            f"{config.address} is a {'MariaDB' if connection.is_mariadb else 'MySQL'} server, not {config.label}",
            hint=f"write {found}:// instead of {config.scheme}://",
        )


def _tls(config: MySQLConfig) -> ssl.SSLContext | None:
    """What a session needs for TLS. A certificate is looked at only where the mode says so, as the tools do."""
    if config.ssl_mode in ("disabled", "preferred"):
        return None  # with nothing given, the library takes TLS where the server offers it
    if config.is_verified:
        context = ssl.create_default_context(cafile=config.ssl_ca)
        context.check_hostname = True
    else:
        context = _unverified()
    if config.ssl_cert:
        context.load_cert_chain(config.ssl_cert, config.ssl_key)
    return context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(config: MySQLConfig, database: str | None, failure: Exception) -> AdapterError:
    code, reason = _said(failure)
    if code == ER.BAD_DB_ERROR:
        return AdapterError(f"{config.address} has no database named '{database}'", hint=_there_are(config))
    if code == ER.DBACCESS_DENIED_ERROR:
        return AdapterError(
            f"'{config.login}' may not use the database '{database}', or there is none: {reason}",
            hint=f"check the name, and grant the user what a backup needs; {_there_are(config)}",
        )
    if code in REFUSED:
        return ConnectionError(
            f"{config.address} refused to let '{config.login}' in: {reason}",
            hint="check user and password, then try them with: dbackup source test NAME-OR-URL",
            permanent=True,
        )
    return ConnectionError(
        f"the {config.label} server at {config.address} cannot be reached: {reason}",
        hint="check host, port, TLS and whether the server runs, then try it with: dbackup source test NAME-OR-URL",
    )


def _there_are(config: MySQLConfig) -> str:
    try:
        connection = connect(config)
        with connection, translated():
            return f"there are: {', '.join(database_names(connection)) or 'none that this user may see'}"
    except DBackupError:
        return "check the name; the server did not say which databases there are"


def _said(failure: Exception) -> tuple[int, str]:
    """The server's code and its words, in one line; for an error of the system, its own."""
    if isinstance(failure, pymysql.Error) and len(failure.args) > 1:
        return int(failure.args[0]), " ".join(str(failure.args[1]).split())
    if isinstance(failure, OSError):
        return -1, failure.strerror or type(failure).__name__
    return (0 if isinstance(failure, pymysql.InterfaceError) else -1), type(failure).__name__
