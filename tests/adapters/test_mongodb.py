"""MongoDB: the contract of every engine, and dumps that are proven or failed, with MongoDB's own tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from adapters.database.mongodb import MongoDB
from tests.adapters.database_contract import DatabaseContract, Subject
from tests.servers.mongodb import Server

REPLACEMENTS = str.maketrans(dict.fromkeys('/\\. "$', "_"))  # what no name of a database may hold


class Databases(Subject):
    things = "things"

    def __init__(self, server: Server) -> None:
        self.server = server

    def adapter(self, database: str) -> MongoDB:
        return MongoDB.from_url(self.server.url(database))

    def name(self, stem: str) -> str:
        return stem.translate(REPLACEMENTS)

    def create(self, database: str, rows: int) -> None:
        with self.server.client() as client:
            client[database].things.insert_many([{"_id": n, "word": f"word {n}"} for n in range(1, rows + 1)])

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        with self.server.client() as client:
            return [(one["_id"], one["word"]) for one in client[database].things.find().sort("_id")]

    def names(self) -> set[str]:
        return self.server.names()

    @contextmanager
    def writing(self, database: str) -> Iterator[None]:
        stop, begun = Event(), Event()
        writer = Thread(target=self._write, args=(database, stop, begun))
        writer.start()
        begun.wait()
        try:
            yield
        finally:
            stop.set()
            writer.join()

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        with self.server.client() as client:
            number = 1_000_000
            while not stop.is_set():
                client[database].things.insert_many([{"_id": number + n, "word": "new"} for n in range(3)])
                client[database].things.delete_one({"_id": number})
                number += 3
                begun.set()


@pytest.fixture
def subject(mongodb: Server) -> Databases:
    return Databases(mongodb)


class TestMongoDB(DatabaseContract):
    """The whole contract."""
