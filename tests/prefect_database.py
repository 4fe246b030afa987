"""Prefect's database as its migrations leave it, for homes that need not show how they begin.

They take some ten seconds of processor time in every new home, so they are done once and kept with the downloads.
"""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from blocks.embedded import DATABASE
from blocks.encryption_key import FILE
from blocks.private_files import written_once
from core.sealing import EncryptionKey
from tests.environment import without_ours
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
        shutil.copy(_migrated(), home / "prefect" / DATABASE)  # as private as it was made
        written_once(home / FILE, EncryptionKey.generate().key.hex())


def _migrated() -> Path:
    """The database that is copied; made by whichever process of the tests needs it first."""
    made = cache() / f"prefect-{version('prefect')}.db"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock, TemporaryDirectory(dir=made.parent) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _migrate(Path(folder)).rename(made)
    return made


def _migrate(folder: Path) -> Path:
    """Let Prefect make its database in a folder, and give the one file that it is."""
    environment = {**without_ours(), "PREFECT_HOME": str(folder)}
    subprocess.run([sys.executable, "-c", _MIGRATE], env=environment, check=True, timeout=200)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (folder / DATABASE).chmod(0o600)
    return folder / DATABASE
