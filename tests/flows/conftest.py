"""Fixtures of whole flows: each runs in this process, against the session's own Prefect server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """Every flow of these tests runs in the session's home."""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small SQLite database."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO orders (note) VALUES (?)", [(f"order {number}",) for number in range(5000)])
        connection.commit()
    return path
