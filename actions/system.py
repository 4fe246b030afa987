"""The system as a whole: its metrics, and whether it can do its work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actions.door import Identity, action
from blocks.encryption_key import encryption_keys
from core.errors import DBackupError
from core.log import logger
from core.permissions import Permission
from services.records import database

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

    from blocks.embedded import Api
    from services.metrics import Watch

log = logger(service="system")


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
    from deployments import jobs
    from services import freshness
    from services.metrics import Watch

    now = datetime.now(UTC)
    try:
        found = jobs.everything()
        fresh = [freshness.of_job(spec, found.created[spec.name], now) for spec in found.readable]
    except DBackupError as error:
        log.warning("nobody can tell which jobs are overdue", reason=error.message)
        return None
    return Watch(fresh, len(found.unreadable))
