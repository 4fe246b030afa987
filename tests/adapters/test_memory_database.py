"""The memory fake keeps the promises of the real engines, so that tests above the adapters may rely on it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest

from tests.adapters.database_contract import DatabaseContract, Subject
from tests.fakes.database import MemoryDatabase, MemoryServer


class Memory(Subject):
    things = "things"

    def __init__(self) -> None:
        self.server = MemoryServer()

    def adapter(self, database: str) -> MemoryDatabase:
        return MemoryDatabase(self.server, database)

    def name(self, stem: str) -> str:
        return stem

    def create(self, database: str, rows: int) -> None:
        self.server.databases[database] = {"things": [(number, f"word {number}") for number in range(rows)]}

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        return sorted(self.server.databases[database]["things"])

    def names(self) -> set[str]:
        return set(self.server.databases)

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        number = 1_000_000
        while not stop.is_set():
            number += 1
            rows = self.server.databases[database]["things"]
            self.server.databases[database] = {"things": [*rows[1:], (number, "new"), (-number, "new")]}
            begun.set()


@pytest.fixture
def subject() -> Memory:
    return Memory()


class TestMemoryDatabase(DatabaseContract):
    """The whole contract."""
