"""A flow run says on which machine it is, that its process lives, and again and again that it does.

Its process holds a folder of the home, which the kernel lets go of however the process dies: so the same home knows at
once whether a run lives. For others there is the beat, a label of the flow run that changes every few seconds. The
labels lie with Prefect, the one thing that all machines share; no clock of one is compared with that of another.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

from blocks.prefect_settings import changed_settings
from core.errors import DBackupError
from core.log import logger
from core.masking import mask
from core.settings import settings
from services.workspace import alive, sweep, workspace

HOST, HOME, BEAT = "dbackup.host", "dbackup.home", "dbackup.beat"  # labels of a flow run
BEAT_SECONDS = 15.0
log = logger(service="heartbeat")

# What a run holds until Prefect has heard of its end. A process that a worker started holds it until it is gone.
life: ContextVar[ExitStack] = ContextVar("life", default=ExitStack())  # noqa: B039 - never closed, on purpose


def begin() -> None:
    """Let the current flow run show that it lives. Raises nothing: a run that cannot show it is as good."""
    held = life.get()
    try:
        held.enter_context(workspace(_folder(), str(flow_run.get_id())))
    except DBackupError as error:
        log.warning("this run cannot show that it lives", reason=error.message)
        return
    ended = threading.Event()
    heart = threading.Thread(
        target=copy_context().run, args=(_beat_until, ended, UUID(flow_run.get_id())), name="heartbeat", daemon=True
    )
    heart.start()
    held.callback(ended.set)


def beat(client: SyncPrefectClient, run: UUID) -> None:
    """Say that a run lives."""
    client.update_flow_run_labels(run, {BEAT: datetime.now(UTC).isoformat()})


def here() -> dict[str, Any]:
    """The labels that say of a run that it is of this machine and this home."""
    return {HOST: socket.gethostname(), HOME: str(settings().home)}


def is_of_this_home(labels: Mapping[str, Any] | None) -> bool:
    """Whether whoever carries out a run with these labels does, or did, so here."""
    return here().items() <= (labels or {}).items()


def is_elsewhere(labels: Mapping[str, Any] | None) -> bool:
    """Whether somebody carries out a run with these labels on another machine, or in another home of this one."""
    return HOST in (labels or {}) and not is_of_this_home(labels)


def place(labels: Mapping[str, Any]) -> str:
    """Where a run with these labels is carried out, in words: the home is said only if the machine is this one."""
    host, home = labels[HOST], labels.get(HOME)
    return f"{host} by the home {home}" if host == socket.gethostname() and home else str(host)


def living() -> set[str]:
    """The ids of the flow runs of this home whose process lives. What dead ones have left is removed."""
    sweep(_folder())
    return alive(_folder())


def _folder() -> Path:
    return settings().home / "alive"


def _beat_until(ended: threading.Event, run: UUID) -> None:
    with changed_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # the next beat is soon enough
        told = False
        while not ended.is_set():
            told = _beaten(run, first=not told) or told
            ended.wait(BEAT_SECONDS)


def _beaten(run: UUID, *, first: bool) -> bool:
    try:
        with get_client(sync_client=True) as client:
            if first:
                client.update_flow_run_labels(run, here())
            beat(client, run)
    except Exception as error:  # noqa: BLE001 - a beat that is missed is no reason for anything here
        log.debug("missed a beat", reason=mask(f"{type(error).__name__}: {error}"))
        return False
    return True
