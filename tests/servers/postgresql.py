"""Real PostgreSQL servers for the tests: started by the session on free loopback ports, ended by their own pid."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.servers import install
from tests.servers.processes import free_port, quick_folder

PLENTY = 4 << 30  # bytes
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "autovacuum=off")
USER = "dbackup_admin"  # found nowhere else on the machine, so that a search of argument lists proves something


@dataclass(frozen=True)
class Server:
    """One running server; ``bin`` holds the client tools of its own major."""

    bin: Path
    port: int
    password: str
    process: subprocess.Popen[bytes]

    @property
    def major(self) -> int:
        with self.connect() as connection:
            return connection.info.server_version // 10000

    def url(self, database: str | None = None, user: str = USER, password: str | None = None) -> str:
        """The URL by which a user would name this server."""
        secret = quote(self.password if password is None else password, safe="")
        path = "" if database is None else "/" + quote(database, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}{path}"

    def connect(self, database: str = "postgres", **facts: Any) -> psycopg.Connection[Any]:
        """A connection of the superuser, committing each statement, unless ``facts`` say otherwise."""
        defaults = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": self.password, "autocommit": True}
        return psycopg.connect(**{**defaults, "dbname": database, **facts})

    def query(self, statement: str, database: str = "postgres", **parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement, and give its rows if it has any."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database)))

    def names(self) -> set[str]:
        return {name for (name,) in self.query("SELECT datname FROM pg_database")}

    def sessions(self) -> int:
        """How many sessions of the product the server has."""
        return int(self.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbackup'")[0][0])

    def drop_all(self) -> None:
        """Forget every database and role but the server's own."""
        with self.connect() as connection:
            for name in self.names() - {"postgres", "template0", "template1"}:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            roles = connection.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384").fetchall()
            for (role,) in roles:
                connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(role)))
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@contextmanager
def running(binaries: Path, room: int = PLENTY) -> Iterator[Server]:
    """Start a server from these binaries, with ``room`` bytes for its data, and end it with the context."""
    folder = Path(tempfile.mkdtemp(prefix="dbackup-postgresql-", dir=quick_folder(room)))
    password = secrets.token_urlsafe(16)
    try:
        _make_cluster(binaries, folder, password)
        port = free_port()
        process = _start(binaries, folder, port)
        try:
            server = Server(binaries, port, password, process)
            _wait_until_ready(server, folder / "log")
            yield server
        finally:
            process.send_signal(3)  # SIGQUIT: down at once, the data is thrown away
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(binaries: Path, folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    for path in (folder, secret):
        shutil.chown(path, *_account())
    options = ["-A", "scram-sha-256", "--pwfile", str(secret), "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run([*_as_server(), str(binaries / "initdb"), "-D", str(folder / "data"), *options],
                          check=False, capture_output=True, text=True, cwd="/")  # fmt: skip
    if made.returncode:
        pytest.fail(f"initdb of {binaries} failed; {install.INSTALL}\n{made.stderr}")


def _start(binaries: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", *SETTINGS]
    options = [part for setting in settings for part in ("-c", setting)]
    # The last resort, should the session be killed: the server goes down with it.
    server = [*_as_server(), "setpriv", "--pdeathsig", "QUIT", "--", str(binaries / "postgres")]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([*server, "-D", str(folder / "data"), *options],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")  # fmt: skip


def _as_server() -> list[str]:
    """The prefix of a command of the server: it refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", str(_account()[0]), "--regid", str(_account()[1]), "--clear-groups", "--"]


def _account() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        pytest.fail(f"there is no user 'postgres' to run a server as; {install.INSTALL}")
    return account.pw_uid, account.pw_gid


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server of {server.bin} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        else:
            return


@contextmanager
def _unpacked(version: str) -> Iterator[Path]:
    """The bin folder of a downloaded version, where the server's own user may reach it."""
    archives = install.postgresql_archives(version)
    if not archives:
        pytest.fail(f"PostgreSQL {version} is not in {install.cache()}; {install.INSTALL}")
    folder = Path(tempfile.mkdtemp(prefix="dbackup-binaries-"))
    folder.chmod(0o755)
    try:
        subprocess.run(["tar", "-xzf", str(archives[-1]), "-C", str(folder), "--no-same-owner"], check=True)
        yield next(folder.glob("*/bin"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tools_14() -> Iterator[Path]:
    """The client tools of PostgreSQL 14."""
    with _unpacked("14.23.0") as binaries:
        yield binaries


@pytest.fixture(scope="session")
def tools_18() -> Iterator[Path]:
    """The client tools of PostgreSQL 18."""
    with _unpacked("18.6.0") as binaries:
        yield binaries


@pytest.fixture(scope="session")
def _distribution() -> Iterator[Server]:
    servers = install.postgresql_servers()
    if not servers:
        pytest.fail(f"no PostgreSQL server is installed; {install.INSTALL}")
    with running(servers[-1]) as server:
        yield server


@pytest.fixture(scope="session")
def _newest(tools_18: Path) -> Iterator[Server]:
    with running(tools_18) as server:
        yield server


@pytest.fixture
def postgresql(_distribution: Server) -> Iterator[Server]:
    """The distribution's own PostgreSQL (15 on Debian 12), without a database or role of an earlier test."""
    yield _distribution
    _distribution.drop_all()


@pytest.fixture
def postgresql_18(_newest: Server) -> Iterator[Server]:
    """PostgreSQL 18, without a database or role of an earlier test."""
    yield _newest
    _newest.drop_all()
