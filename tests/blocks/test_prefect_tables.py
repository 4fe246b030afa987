"""A new home begins with the tables that Prefect's migrations would have made, without the time that they take."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from blocks import prefect_tables
from tests.prefect_tables import migrated, written


def test_what_a_new_home_begins_with_is_what_the_migrations_come_to(tmp_path: Path) -> None:
    prefect_tables.begin(tmp_path / "prefect.db")
    begun = written(tmp_path / "prefect.db")
    assert begun == prefect_tables.TABLES.read_text()
    assert _comparable(begun) == _comparable(migrated()), "write it anew: python -m tests.prefect_tables"


def _comparable(sql: str) -> list[list[str]]:
    """Each statement by its lines; indexes and constraints sorted, for the migrations keep some of them in a set."""
    found = []
    for statement in sql.split(";\n"):
        lines = [line.strip().removesuffix(",") for line in statement.splitlines()]
        found.append(sorted(lines, key=lambda line: line if line.startswith("CONSTRAINT") else ""))
    return sorted(found)


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")
    prefect_tables.begin(database)
    assert "mine" in written(database)
    assert "flow_run" not in written(database)


def test_it_is_private_and_there_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "prefect.db"
    half = tmp_path / "half.sql"
    half.write_text("CREATE TABLE one (x); CREATE TABLE two (")
    with monkeypatch.context() as patch:
        patch.setattr(prefect_tables, "TABLES", half)
        with pytest.raises(sqlite3.OperationalError):
            prefect_tables.begin(database)
    assert not database.exists()
    prefect_tables.begin(database)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.sql", "prefect.db"]


def test_what_was_not_yet_written_into_a_database_that_is_gone_is_not_written_into_the_new_one(tmp_path: Path) -> None:
    database, kept = tmp_path / "prefect.db", tmp_path / "kept"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE gone (x)")
        connection.commit()
        shutil.copy(tmp_path / "prefect.db-wal", kept)
    database.unlink()
    kept.rename(tmp_path / "prefect.db-wal")
    prefect_tables.begin(database)
    assert written(database) == prefect_tables.TABLES.read_text()
