"""MariaDB and MySQL, on real servers: the contract of every engine, and dumps that are proven or failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from adapters.database.mysql import MariaDB, MySQL
from tests.adapters.database_contract import DatabaseContract, Subject
from tests.servers.mysql import Server, quoted

ENGINES = {"mariadb": MariaDB, "mysql": MySQL}


def opened(server: Server, database: str | None = None, client_path: str | None = None, **login: str) -> MySQL:
    """The adapter for a server, with client tools from this folder only where one is named."""
    adapter = ENGINES[server.engine]
    config = adapter.config_type.from_url(server.url(database, **login))
    return adapter(config.model_copy(update={"client_path": client_path}))


class Databases(Subject):
    things = "things"

    def __init__(self, server: Server) -> None:
        self.server = server

    def adapter(self, database: str) -> MySQL:
        return opened(self.server, database)

    def name(self, stem: str) -> str:
        return stem

    def create(self, database: str, rows: int) -> None:
        self.server.run(f"CREATE DATABASE {quoted(database)}")
        with self.server.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, word TEXT NOT NULL)")
            cursor.executemany("INSERT INTO things (word) VALUES (%s)", [(f"word {n}",) for n in range(1, rows + 1)])

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        return [(number, word) for number, word in self.server.query("SELECT * FROM things ORDER BY id", database)]

    def names(self) -> set[str]:
        return self.server.names()

    @contextmanager
    def writing(self, database: str) -> Iterator[None]:
        stop, begun = threading.Event(), threading.Event()
        writer = threading.Thread(target=self._write, args=(database, stop, begun))
        writer.start()
        begun.wait()
        try:
            yield
        finally:
            stop.set()
            writer.join()

    def _write(self, database: str, stop: threading.Event, begun: threading.Event) -> None:
        with self.server.connect(database) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO things (word) VALUES ('new'), ('new'), ('new')")
                cursor.execute("DELETE FROM things ORDER BY id LIMIT 1")
                begun.set()


class TestMariaDB(DatabaseContract):
    """The whole contract, on MariaDB."""

    @pytest.fixture
    def subject(self, mariadb: Server) -> Databases:
        return Databases(mariadb)


class TestMySQL(DatabaseContract):
    """The whole contract, on MySQL."""

    @pytest.fixture
    def subject(self, mysql: Server) -> Databases:
        return Databases(mysql)
