"""A server that speaks MongoDB's protocol, and MongoDB's own tools, for the tests."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers import install
from tests.servers.certificates import Certificates
from tests.servers.processes import free_port, quick_folder, started

ROOM = 1 << 30  # bytes
USER = "dbackup_admin"  # found nowhere else on the machine, so that a search of argument lists proves something
REPLAYING = Path(__file__).with_name("replaying_mongodb.py")
OWN = {"admin", "config", "local"}


@dataclass(frozen=True)
class Server:
    """One running server; ``tools`` is the folder of mongodump and mongorestore."""

    port: int
    tools: Path
    password: str | None = None
    authority: Path | None = None  # that signed the server's certificate, when it speaks TLS only

    @property
    def tls_options(self) -> str:
        """What a URL adds to reach a server that speaks TLS only."""
        return f"&tls=true&tlsCAFile={quote(str(self.authority), safe='')}"

    def url(self, database: str | None = None, *, user: str = USER, password: str | None = None, more: str = "") -> str:
        """The URL by which a user would name this server."""
        secret = password or self.password
        login = f"{user}:{quote(secret, safe='')}@" if secret else ""
        path = quote(database, safe="") if database else ""
        options = f"serverSelectionTimeoutMS=5000&client_path={quote(str(self.tools))}&authSource=admin{more}"
        return f"mongodb://{login}127.0.0.1:{self.port}/{path}?{options}"

    def client(self) -> MongoClient[dict[str, Any]]:
        login = {"username": USER, "password": self.password} if self.password else {}
        tls = {"tls": True, "tlsCAFile": str(self.authority)} if self.authority else {}
        return MongoClient("127.0.0.1", self.port, serverSelectionTimeoutMS=5000, **login, **tls)

    def names(self) -> set[str]:
        with self.client() as client:
            return set(client.list_database_names())

    def drop_all(self) -> None:
        """Forget every database but the server's own."""
        with self.client() as client:
            for name in set(client.list_database_names()) - OWN:
                client.drop_database(name)


@contextmanager
def _running(folder: Path, server: Server, *options: str, program: Path | None = None) -> Iterator[Server]:
    if not install.SECANTUS.folder.exists():
        pytest.fail(f"the server for MongoDB's tests is not installed; {install.INSTALL}")

    def ready() -> bool:
        try:
            with server.client() as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True

    program = program or install.SECANTUS.folder / "bin" / "secantusd-py"
    where = ("--host", "127.0.0.1", "--port", str(server.port), "--storage-path", str(folder / "data"))
    argv = [sys.executable, program, *where, "--cache-size", "64M", "--log-level", "WARNING", *options]
    environment = {"PYTHONPATH": str(install.SECANTUS.folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with started(argv, ready, folder / "log", env=environment):
        yield server


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dbackup-mongodb-", dir=quick_folder(ROOM)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mongodb_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MongoDB's own mongodump and mongorestore."""
    archive = install.MONGODB_TOOLS.folder / "package" / "bin.zip"
    if not archive.exists():
        pytest.fail(f"MongoDB's tools are not installed; {install.INSTALL}")
    folder = tmp_path_factory.mktemp("mongodb-tools")
    with zipfile.ZipFile(archive) as packed:
        for name in ("mongodump", "mongorestore"):
            path = folder / name
            path.write_bytes(packed.read(f"bin/{name}"))
            path.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def _mongodb(mongodb_tools: Path) -> Iterator[Server]:
    server = Server(free_port(), mongodb_tools)
    with _folder() as folder, _running(folder, server):
        yield server


@pytest.fixture
def mongodb(_mongodb: Server) -> Iterator[Server]:
    """A server that lets everybody in, without a database of an earlier test."""
    yield _mongodb
    _mongodb.drop_all()


@pytest.fixture(scope="session")
def _replica_set(mongodb_tools: Path) -> Iterator[Server]:
    server = Server(free_port(), mongodb_tools)
    with _folder() as folder, _running(folder, server):
        yield server


@pytest.fixture
def replica_set(_replica_set: Server) -> Iterator[Server]:
    """A server with a short oplog, for it reads all of it to find the end: few tests write to this one."""
    yield _replica_set
    _replica_set.drop_all()


@pytest.fixture(scope="session")
def _mongodb_that_replays(mongodb_tools: Path) -> Iterator[Server]:
    server = Server(free_port(), mongodb_tools)
    with _folder() as folder, _running(folder, server, program=REPLAYING):
        yield server


@pytest.fixture
def mongodb_that_replays(_mongodb_that_replays: Server) -> Iterator[Server]:
    """An empty server of its own that can apply recorded operations."""
    yield _mongodb_that_replays
    _mongodb_that_replays.drop_all()


@pytest.fixture(scope="session")
def mongodb_with_users(mongodb_tools: Path) -> Iterator[Server]:
    """A server that asks for a password: an administrator's, or that of ``reader``, who may read ``shop``."""
    port, password = free_port(), secrets.token_urlsafe(16)
    with _folder() as folder:
        with _running(folder, Server(port, mongodb_tools)) as everybody, everybody.client() as client:
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
            client.admin.command("createUser", "reader", pwd=password, roles=[{"role": "read", "db": "shop"}])
        with _running(folder, Server(port, mongodb_tools, password), "--auth") as server:
            yield server


@pytest.fixture(scope="session")
def mongodb_with_tls(mongodb_tools: Path, certificates: Certificates) -> Iterator[Server]:
    """A server that speaks TLS only."""
    options = ("--tls-cert-file", str(certificates.certificate), "--tls-key-file", str(certificates.key))
    server = Server(free_port(), mongodb_tools, authority=certificates.authority)
    with _folder() as folder, _running(folder, server, *options):
        yield server
