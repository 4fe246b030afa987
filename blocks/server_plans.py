"""What the embedded Prefect server plans for its deployments; imported only once Prefect's settings are made.

Prefect reads in one transaction and writes what it plans in the next. A job that is deleted, paused or edited between
them, which on a busy server takes seconds, would still run: as it was, and when it was to. So each run that is planned
remembers what its deployment and schedule were changed by last, before they were read, and is written down only if that
is so still. What is dropped here is planned anew in the next round if there is something to plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from prefect.server.database.dependencies import provide_database_interface
from prefect.server.database.interface import PrefectDBInterface
from prefect.server.models import deployments
from sqlalchemy.ext.asyncio import AsyncSession

Runs = list[dict[str, Any]]
Changes = Mapping[UUID, tuple[datetime, datetime]]
SEEN = "changed"  # what a planned run remembers, until it is written down
_plan: Callable[..., Awaitable[Runs]] = deployments._generate_scheduled_flow_runs
_write: Callable[..., Awaitable[Sequence[UUID]]] = deployments._insert_scheduled_flow_runs


def keep_true() -> None:
    """Let Prefect, in this process, plan no run for a deployment that has changed since it was read for its plan."""
    deployments._generate_scheduled_flow_runs = _planned
    deployments._insert_scheduled_flow_runs = _written


async def _planned(
    db: PrefectDBInterface, session: AsyncSession, deployment_id: UUID, *times: Any, **limits: Any
) -> Runs:
    changes = await _changes(session, [deployment_id])
    runs = await _plan(db, session, deployment_id, *times, **limits)
    return [run | {SEEN: changes.get(schedule) if (schedule := _schedule(run)) else None} for run in runs]


async def _written(session: AsyncSession, runs: Runs) -> Sequence[UUID]:
    now = await _changes(session, {run["deployment_id"] for run in runs})
    return await _write(session=session, runs=[_without_memory(run) for run in runs if _holds(run, now)])


def _holds(run: Mapping[str, Any], now: Changes) -> bool:
    """Whether a run is still to be; one that no schedule has made is not ours to judge."""
    schedule = _schedule(run)
    return schedule is None or (schedule in now and now[schedule] == run.get(SEEN))


def _without_memory(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != SEEN}


async def _changes(session: AsyncSession, wanted: Iterable[UUID]) -> Changes:
    """When the active schedules of deployments that are not paused were changed, and their deployments, by schedule."""
    db = provide_database_interface()
    found = await session.execute(
        sa.select(db.DeploymentSchedule.id, db.DeploymentSchedule.updated, db.Deployment.updated).where(
            db.Deployment.id.in_(wanted),
            db.Deployment.paused.is_not(True),
            db.DeploymentSchedule.deployment_id == db.Deployment.id,
            db.DeploymentSchedule.active.is_(True),
        )
    )
    return {schedule: (of_schedule, of_deployment) for schedule, of_schedule, of_deployment in found}


def _schedule(run: Mapping[str, Any]) -> UUID | None:
    return (run.get("created_by") or {}).get("id")
