"""The tables of a new home's Prefect database, as Prefect's own migrations leave them.

Prefect makes a new database by some hundred migrations, which takes ten seconds of processor time. What they come to
stands beside this file, for the oldest version of Prefect that is asked for, and begins a database at once; a newer
Prefect goes on from there with what it has added, as it does with any database that is older than itself. Both programs
are under the Apache License 2.0.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

TABLES = Path(__file__).with_suffix(".sql")
LEFT_BEHIND = ("-wal", "-shm", "-journal")


def begin(database: Path) -> None:
    """Make the database unless it is there; nobody else may do so meanwhile. Raises OSError or sqlite3.Error."""
    if database.exists():
        return
    beside = database.with_name(f".{database.name}.new")
    beside.unlink(missing_ok=True)  # of somebody who died here
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(beside)) as connection:
        connection.executescript(TABLES.read_text())
    for ending in LEFT_BEHIND:  # of a database that somebody removed: they would be taken for this one's
        database.with_name(database.name + ending).unlink(missing_ok=True)
    beside.rename(database)
