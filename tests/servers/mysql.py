"""Real MariaDB and MySQL servers for the tests: started by the session on free loopback ports, ended by their pid."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest

from tests.servers import install
from tests.servers.processes import free_port, quick_folder, started

PLENTY = 2 << 30  # bytes
USER = "dbackup_admin"  # found nowhere else on the machine, so that a search of argument lists proves something
SYSTEM = {"information_schema", "performance_schema", "mysql", "sys"}
SETTINGS = (
    "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0",
    "--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4", "--event-scheduler=ON",
    "--innodb-doublewrite=0", "--innodb-fast-shutdown=2", "--performance-schema=OFF",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One running server."""

    engine: str
    port: int
    socket: Path
    password: str

    def url(self, database: str | None = None, user: str = USER, password: str | None = None) -> str:
        """The URL by which a user would name this server."""
        secret = quote(self.password if password is None else password, safe="")
        path = "" if database is None else "/" + quote(database, safe="")
        return f"{self.engine}://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}{path}"

    def connect(self, database: str | None = None, user: str = USER) -> pymysql.Connection[Any]:
        """A connection of the administrator, committing each statement; without TLS, which is slow."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password=self.password, database=database,
            autocommit=True, ssl_disabled=True,
        )  # fmt: skip

    def query(self, statement: str, database: str | None = None, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement, and give its rows."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements one after the other."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def names(self) -> set[str]:
        return {name for (name,) in self.query("SHOW DATABASES")} - SYSTEM

    def drop_all(self) -> None:
        """Forget every database and user but the server's own."""
        self.run("SET GLOBAL event_scheduler = ON")
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for name in self.names():
                cursor.execute(f"DROP DATABASE {quoted(name)}")
            role = "is_role" if self.engine == "mariadb" else "'N'"
            cursor.execute(f"SELECT User, Host, {role} FROM mysql.user")
            for user, host, is_role in cursor.fetchall():
                if user in ("root", USER, "PUBLIC") or user.startswith(("mysql.", "mariadb.")):
                    continue
                kind, suffix = ("ROLE", "") if is_role == "Y" else ("USER", "@%s")
                cursor.execute(f"DROP {kind} %s{suffix}", (user, host) if suffix else (user,))


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dbackup-mysql-", dir=quick_folder(PLENTY)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(engine: str, program: Sequence[str | Path], folder: Path) -> Iterator[Server]:
    """Start a server on a data folder that is ready, and give it an administrator with a password."""
    server = Server(engine, free_port(), folder / "s.sock", secrets.token_urlsafe(16))
    # Not /tmp: a server that starts removes the temporary tables of all others that have theirs there.
    places = [f"--datadir={folder / 'data'}", f"--socket={server.socket}", f"--port={server.port}"]
    places += [f"--tmpdir={folder}", f"--pid-file={folder / 'pid'}"]
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *program, *places, *SETTINGS]

    def ready() -> bool:
        try:
            _administrate(server)
        except pymysql.Error:
            return False
        return True

    with started(argv, ready, folder / "log"):
        yield server


def _administrate(server: Server) -> None:
    with pymysql.connect(unix_socket=str(server.socket), user="root") as root, root.cursor() as cursor:
        cursor.execute(f"CREATE USER '{USER}'@'%%' IDENTIFIED BY %s", (server.password,))
        cursor.execute(f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION")


def _account() -> str:
    """Who we are: both servers refuse to run as root unless they are told to."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _made(argv: Sequence[str | Path], folder: Path) -> None:
    made = subprocess.run(argv, check=False, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(folder)})
    if made.returncode:
        pytest.fail(f"{argv[0]} failed; {install.INSTALL}\n{made.stdout[-2000:]}{made.stderr[-2000:]}")


@pytest.fixture(scope="session")
def _mariadb() -> Iterator[Server]:
    if shutil.which("mariadb-install-db") is None or shutil.which("mariadbd") is None:
        pytest.fail(f"no MariaDB server is installed; {install.INSTALL}")
    with _folder() as folder:
        start = ["--no-defaults", f"--user={_account()}"]
        _made(["mariadb-install-db", *start, f"--datadir={folder / 'data'}", "--skip-test-db",
               "--auth-root-authentication-method=normal"], folder)  # fmt: skip
        with _running("mariadb", ["mariadbd", *start], folder) as server:
            yield server


@pytest.fixture(scope="session")
def _mysql() -> Iterator[Server]:
    base = install.MYSQL_57.folder / "package" / "server"
    program = base / "mysqld"
    if not program.exists():
        pytest.fail(f"MySQL is not in {install.cache()}; {install.INSTALL}")
    with _folder() as folder:
        copy = folder / "mysqld"
        shutil.copy(program, copy)  # the archive does not say that it is a program
        copy.chmod(0o755)
        start = [copy, "--no-defaults", f"--user={_account()}", f"--basedir={base}", f"--lc-messages-dir={base}/share"]
        _made([*start, "--initialize-insecure", f"--datadir={folder / 'data'}"], folder)
        with _running("mysql", [*start, "--secure-file-priv=NULL"], folder) as server:
            yield server


@pytest.fixture
def mariadb(_mariadb: Server) -> Iterator[Server]:
    """The distribution's own MariaDB (10.11 on Debian 12), without a database or user of an earlier test."""
    yield _mariadb
    _mariadb.drop_all()


@pytest.fixture
def mysql(_mysql: Server) -> Iterator[Server]:
    """MySQL 5.7, without a database or user of an earlier test."""
    yield _mysql
    _mysql.drop_all()


@pytest.fixture(params=["mariadb", "mysql"])
def either(request: pytest.FixtureRequest) -> Server:
    """Each of the two, one after the other."""
    server: Server = request.getfixturevalue(request.param)
    return server
