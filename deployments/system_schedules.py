"""What the system does by itself, besides the jobs: one table, from which Python and ``prefect.yaml`` both deploy.

Each is a deployment in the queue of everything else. What somebody has changed of its schedule or paused stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.exceptions import ObjectNotFound

from deployments import pool
from deployments.client import deploy, prefect_client
from deployments.overdue import overdue
from deployments.schedules import Timetable, cron_schedule, timetable
from flows.catalog_sync import catalog_sync
from flows.integrity import integrity
from flows.janitor import clean

TAG = "dbackup-system"
NAME = "system"  # of each deployment; its flow says which it is
TIMEZONE = "UTC"


@dataclass(frozen=True)
class SystemSchedule:
    """A flow that runs by itself. One that is not active waits for somebody to switch it on."""

    flow: Flow[Any, Any]
    cron: str
    description: str
    active: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called: flow and deployment."""
        return f"{self.flow.name}/{NAME}"

    @property
    def entrypoint(self) -> str:
        """Where its flow is imported from."""
        return f"{self.flow.fn.__module__}.{self.flow.fn.__name__}"


SCHEDULES = (
    SystemSchedule(integrity, "0 6 * * 0", "Read back every backup on every saved storage.", False, {"wish": {}}),
    SystemSchedule(catalog_sync, "30 5 * * *", "Bring the catalog up to date with every saved storage."),
    SystemSchedule(clean, "0 5 * * *", "Remove what killed runs have left on saved storages.", True, {"wish": {}}),
    SystemSchedule(overdue, "10 * * * *", "Tell of jobs without a good backup for too long."),
)


def ensure() -> tuple[str, ...]:
    """Deploy what is not deployed yet, and give its names. Raises ConnectionError."""
    pool.ensure()
    with prefect_client() as client:
        missing = tuple(one for one in SCHEDULES if not _exists(client, one))
        for one in missing:
            _deploy(one)
    return tuple(one.name for one in missing)


def timetable_of(flow: Flow[Any, Any]) -> Timetable | None:
    """When one of these flows runs by itself; None while it is not deployed. Raises ConnectionError."""
    with prefect_client() as client:
        try:
            found = client.read_deployment_by_name(f"{flow.name}/{NAME}")
        except ObjectNotFound:
            return None
    return timetable(found.schedules, paused=bool(found.paused), now=datetime.now(UTC))


def set_active(flow: Flow[Any, Any], *, active: bool) -> None:
    """Let one of these flows run by itself, or no longer. What somebody has made of its schedule stays."""
    ensure()
    with prefect_client() as client:
        found = client.read_deployment_by_name(f"{flow.name}/{NAME}")
        for one in found.schedules:
            client.update_deployment_schedule(found.id, one.id, active=active)
        if active:
            client.resume_deployment(found.id)


def _exists(client: SyncPrefectClient, wanted: SystemSchedule) -> bool:
    try:
        client.read_deployment_by_name(wanted.name)
    except ObjectNotFound:
        return False
    return True


def _deploy(wanted: SystemSchedule) -> None:
    schedule = DeploymentScheduleCreate(schedule=cron_schedule(wanted.cron, TIMEZONE), active=wanted.active)
    deploy(
        wanted.flow,
        NAME,
        parameters=dict(wanted.parameters),
        description=wanted.description,
        schedules=[schedule],
        tags=[TAG],
        work_pool_name=pool.POOL,
        concurrency_limit=1,
    )
