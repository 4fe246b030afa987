"""One home for a whole test session, with one embedded Prefect server, which is ended by its own process id.

Tests in this process and commands started by tests share it: both find it through the environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import ours

IDLE_SECONDS = 600


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """DBACKUP_HOME of this session. The server in it is started by whoever needs it first."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ours():
            if name != "DBACKUP_TEST_CACHE":
                patch.delenv(name)
        patch.setenv("DBACKUP_HOME", str(folder))
        patch.setenv("DBACKUP_SERVER_IDLE", str(IDLE_SECONDS))
        patch.setenv("PREFECT_HOME", str(folder / "profiles"))  # not the profiles of whoever runs the tests
        forget_settings()
        yield folder
        end_server(folder)
    forget_settings()


def files_of(home: Path) -> dict[str, bytes]:
    """Every file of a home, by its path in it, as another process sees them.

    SQLite's locks belong to a process, and closing any descriptor of a database drops them: read here, the catalog
    would lie open to the next command that writes to it.
    """
    with tempfile.TemporaryDirectory() as copy:
        subprocess.run(["cp", "--recursive", f"{home}/.", copy], check=False, capture_output=True)  # some files go away
        files = (path for path in Path(copy).rglob("*") if path.is_file())
        return {str(path.relative_to(copy)): path.read_bytes() for path in files}


def forget_settings() -> None:
    """Let this process read its settings anew, and open what they name."""
    from blocks.encryption_key import encryption_keys
    from core.settings import settings
    from services.records import database

    for cached in (settings, encryption_keys, database):
        cached.cache_clear()


def end_server(folder: Path) -> None:
    address = folder / "prefect" / "server.json"
    if not address.exists():
        return
    _tell_prefect_the_rest()
    process = json.loads(address.read_text())["pid"]
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while _alive(process):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            pytest.fail("the embedded server did not end when it was asked to")
        time.sleep(0.05)
    assert not address.exists()


def _tell_prefect_the_rest() -> None:
    """Let this process's workers send what they still hold: once the server has ended, they could only complain."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=20)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
