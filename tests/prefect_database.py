"""Prefect's database as its migrations leave it, for homes that need not show how they begin.

They take some ten seconds of processor time in every new home, so they are done once and kept with the downloads.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from blocks.embedded import DATABASE
from tests.servers.install import cache

_MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def give(home: Path) -> None:
    """Put a copy into a home that has none yet, and a key: to have the one without the other is an error."""
    if not (home / "prefect").exists():
        (home / "prefect").mkdir(mode=0o700, parents=True)
        _private(home / "prefect" / DATABASE, _migrated().read_bytes())
        _private(home / "encryption.key", secrets.token_hex(32).encode())


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _migrated() -> Path:
    """The database that is copied; made by whichever process of the tests needs it first."""
    made = cache() / f"prefect-{version('prefect')}.db"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _migrate(made.with_suffix(".new"))
            made.with_suffix(".new").rename(made)
    return made


def _migrate(path: Path) -> None:
    path.unlink(missing_ok=True)
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("DBACKUP_", "PREFECT_"))}
    own = {
        "PREFECT_HOME": str(path.with_suffix(".home")),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}",
    }
    subprocess.run([sys.executable, "-c", _MIGRATE], env={**foreign, **own}, check=True, timeout=200)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
