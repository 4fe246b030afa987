"""The system as a whole: its metrics, and whether it can do its work."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

from actions.door import Identity, action
from blocks.encryption_key import encryption_keys
from core.errors import DBackupError
from core.log import logger
from core.permissions import Permission
from core.settings import settings
from services.records import database

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

    from blocks.embedded import Api
    from services.metrics import Watch

log = logger(service="system")


_LIBRARIES = ("dbackup", "prefect", "streamlit", "sqlalchemy", "cryptography")


@dataclass(frozen=True)
class Configured:
    """One setting as it may be shown, and where it comes from."""

    name: str
    value: str
    origin: str


@action(Permission.SYSTEM_READ)
def configuration(who: Identity) -> tuple[Configured, ...]:
    """Every setting of this process; of a secret only whether it is set."""
    given = settings().given()
    told = settings().told().items()
    return tuple(Configured(name, value, "environment" if name in given else "default") for name, value in told)


@action(Permission.SYSTEM_READ)
def versions(who: Identity) -> dict[str, str]:
    """The versions of the program, of Python, and of what it stands on."""
    return {"Python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}}


@action(Permission.SYSTEM_READ)
def metrics(who: Identity) -> CollectorRegistry:
    """What Prometheus is told; it is read when it is written out, which raises ConfigurationError.

    No Prefect server is started for it. Without one, whether a job is overdue is not told.
    """
    from services.metrics import registry

    return registry(_watch())


@action(Permission.SYSTEM_READ)
def healthy(who: Identity) -> bool:
    """Whether key, catalog and Prefect answer. Why not stands in the log."""
    try:
        encryption_keys()
        database().require_answer()
    except DBackupError as error:
        log.error("the system is not healthy", reason=error.message)
        return False
    if _prefect() is None:
        log.error("the system is not healthy", reason="the Prefect API does not answer")
        return False
    return True


def _prefect() -> Api | None:
    """The Prefect API, if it is up: none is started for whoever only asks."""
    from blocks.api import answering

    return answering()


def _watch() -> Watch | None:
    if _prefect() is None:
        return None
    from deployments.known_jobs import known
    from services import freshness
    from services.metrics import Watch

    now = datetime.now(UTC)
    try:
        found = known.everything()
        fresh = freshness.of_jobs(found.readable, found.created, now)
    except DBackupError as error:
        log.warning("nobody can tell which jobs are overdue", reason=error.message)
        return None
    return Watch(fresh, len(found.unreadable))
