"""What Prefect's migrations make of an empty database: ``python -m tests.prefect_tables`` writes it down anew."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from blocks.prefect_tables import TABLES
from tests.environment import without_ours

_MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def migrated() -> str:
    """Every table and index, and the migration that the database has come to, as SQL."""
    with TemporaryDirectory() as folder:
        environment = {**without_ours(), "PREFECT_HOME": folder}
        subprocess.run([sys.executable, "-c", _MIGRATE], env=environment, check=True, timeout=200)
        return written(Path(folder) / "prefect.db")


def written(database: Path) -> str:
    """A database as SQL."""
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    TABLES.write_text(migrated())
