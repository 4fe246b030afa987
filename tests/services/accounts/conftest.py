"""An empty database of each kind, cheap hashes, one clock, and some people."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from core.permissions import Permission
from core.rights import EVERYTHING, Grant, Rights
from core.sealing import EncryptionKey, EncryptionKeys
from db.session import Database, open_database
from services.accounts import groups, passwords, sessions, users
from services.accounts.login import Credentials, Entrance
from services.accounts.sessions import Client, Opened
from services.accounts.users import NewUser, User
from tests.db.conftest import database, url

__all__ = ["database", "url"]

PASSWORD = SecretStr("correct horse battery staple")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOME = Client("192.0.2.7", "a browser")


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


@dataclass
class House:
    """A system with people in it, and a clock that the test moves."""

    database: Database
    entrance: Entrance
    now: datetime = NOW

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def user(self, name: str, *groups_: str) -> User:
        return users.create(self.database, EVERYTHING, NewUser(name, PASSWORD, groups=groups_))

    def group(self, name: str, *permissions: Permission, sources: frozenset[str] | None = None) -> None:
        groups.create(self.database, EVERYTHING, name, Grant(frozenset(permissions), sources))

    def log_in(
        self, name: str, password: SecretStr = PASSWORD, code: str | None = None, client: Client = HOME
    ) -> Opened:
        given = Credentials(name, password, SecretStr(code) if code is not None else None)
        return self.entrance.log_in(given, client, self.now)

    def rights(self, name: str) -> Rights:
        """What somebody may do, as a fresh login of theirs is told."""
        return sessions.visitor(self.database, self.log_in(name).token, self.now).rights


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A system on SQLite whose only user is the administrator ada."""
    return _house(open_database(f"sqlite:///{tmp_path}/home/catalog.db"))


@pytest.fixture
def any_house(database: Database) -> House:
    """The same on SQLite and on PostgreSQL, for what is up to the database."""
    return _house(database)


def _house(database: Database) -> House:
    made = House(database, Entrance(database, EncryptionKeys((EncryptionKey.generate(),))))
    made.user("ada", "Administrators")
    return made


@pytest.fixture
def at_once() -> Callable[..., list[object]]:
    """Call functions at the same moment; gives what each gave or raised."""

    def run(*calls: Callable[[], object]) -> list[object]:
        results: list[object] = [None] * len(calls)
        start = threading.Barrier(len(calls))

        def one(place: int, call: Callable[[], object]) -> None:
            start.wait()
            try:
                results[place] = call()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                results[place] = error

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run
