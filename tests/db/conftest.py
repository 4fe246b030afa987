"""An empty database of each kind that the catalog may lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.session import Database, open_database
from tests.servers.postgresql import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/catalog.db"
    server: Server = request.getfixturevalue("postgresql")
    server.create("catalog")
    return server.url("catalog")


@pytest.fixture
def database(url: str) -> Database:
    """A new database, brought up to date."""
    return open_database(url)
