"""Which process of this home carries out a run, whether somebody looks after it, and how it is ended.

A run that was recorded holds the folder of its execution, which the kernel lets go of with the process; one that is
only starting carries its id, and its home, in its environment. What a run starts ends with it, so only the run itself
is told to end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from core.settings import settings
from services.records import executions
from services.workspace import owner_of
from tasks.late_states import RUN

HOME = "DBACKUP_HOME"  # which a worker and its runs have in their environment, always
WORKER = "deployments.worker"  # the module that a worker's process runs
END_SECONDS = 20.0  # that a run has to clean up before it is killed
_RUN_ID = b"PREFECT__FLOW_RUN_ID="
_LOOK_SECONDS = 0.1


def of_run(run_id: str) -> int | None:
    """The process that carries out a flow run here, or None."""
    recorded = executions().of_flow_run(run_id)
    held = owner_of(settings().runs, f"{RUN}{recorded.execution_id}") if recorded else None
    return held or next((pid for pid, carried in carried_out() if carried == run_id), None)


def carried_out() -> Iterator[tuple[int, str]]:
    """Every process that a worker of this home has started for a flow run, with the run's id."""
    home = f"{HOME}={settings().home}".encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended just now, or belongs to somebody else
            continue
        if home in environment:
            for variable in environment:
                if variable.startswith(_RUN_ID):
                    yield int(process.name), variable.removeprefix(_RUN_ID).decode()


def has_worker(pid: int) -> bool:
    """Whether the worker that has started a process lives: it is the only one who can tell it to end."""
    while pid > 1:
        if WORKER.encode() in _argv(pid):
            return True
        pid = _parent(pid)
    return False


def end(pid: int) -> None:
    """Tell a run to end, wait until it has cleaned up, and make it end when it takes too long."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        if not _gone(pid, END_SECONDS):
            os.kill(pid, signal.SIGKILL)
            _gone(pid, END_SECONDS)


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _argv(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
