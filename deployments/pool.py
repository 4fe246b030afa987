"""The queue: a work pool of Prefect's. Its limit is how many runs there are at once; first in, first out.

Any number of workers on any number of machines take from it. A run that is bound to certain machines waits under a
label, which is a work queue of the pool, and only workers that serve the label take it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from core.jobs import DEFAULT_QUEUE
from deployments.client import prefect_client

POOL = "dbackup"
DEFAULT_LIMIT = 2
SILENT = timedelta(seconds=30)  # a worker that was not heard of for so long takes nothing


@dataclass(frozen=True)
class Worker:
    """Somebody who takes from the queue. ``name`` says on which machine."""

    name: str
    alive: bool
    heard_at: datetime | None


@dataclass(frozen=True)
class Queue:
    """The queue as it stands: how many runs at once at most, who takes from it, and under which labels."""

    limit: int | None
    workers: tuple[Worker, ...]
    served: frozenset[str] = frozenset()

    def serves(self, label: str = DEFAULT_QUEUE) -> bool:
        """Whether anybody takes what waits under a label."""
        return label in self.served and any(worker.alive for worker in self.workers)


def ensure(labels: Iterable[str] = ()) -> None:
    """Make the pool and the labels that there are not; what exists is left as it is."""
    with prefect_client() as client:
        _ensure_pool(client)
        for label in labels:
            with suppress(ObjectAlreadyExists):
                client.create_work_queue(label, work_pool_name=POOL)


def _ensure_pool(client: SyncPrefectClient) -> None:
    if not _exists(client):
        from prefect.workers.process import ProcessWorker  # with all that carries runs out: only who makes it needs it

        template = ProcessWorker.get_default_base_job_template()
        wanted = WorkPoolCreate(
            name=POOL, type=ProcessWorker.type, base_job_template=template, concurrency_limit=DEFAULT_LIMIT
        )
        with suppress(ObjectAlreadyExists):  # another machine was quicker
            client.create_work_pool(wanted)


def look() -> Queue:
    """The queue as it stands; without a limit and workers when nobody has made it yet."""
    with prefect_client() as client:
        try:
            limit = client.read_work_pool(POOL).concurrency_limit
            found = client.read_workers_for_work_pool(POOL)
            queues = client.read_work_queues(work_pool_name=POOL)
        except ObjectNotFound:
            return Queue(DEFAULT_LIMIT, ())
    oldest = datetime.now(UTC) - SILENT
    return Queue(
        limit,
        tuple(
            Worker(
                one.name,
                one.status is WorkerStatus.ONLINE and (one.last_heartbeat_time or oldest) > oldest,
                one.last_heartbeat_time,
            )
            for one in sorted(found, key=lambda one: one.name)
        ),
        frozenset(one.name for one in queues if one.last_polled and one.last_polled > oldest),
    )


def set_limit(limit: int) -> None:
    """Change how many runs there may be at once; those that run go on."""
    ensure()
    with prefect_client() as client:
        client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=limit))


def _exists(client: SyncPrefectClient) -> bool:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        return False
    return True
