"""What the embedded Prefect server plans for its deployments; imported only once Prefect's settings are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from prefect.server.database.dependencies import provide_database_interface
from prefect.server.models import deployments
from sqlalchemy.ext.asyncio import AsyncSession

_insert: Callable[..., Awaitable[Sequence[UUID]]] = deployments._insert_scheduled_flow_runs


async def _insert_what_still_holds(session: AsyncSession, runs: list[dict[str, Any]]) -> Sequence[UUID]:
    db = provide_database_interface()
    plans = [(run, run["created_by"]["id"]) for run in runs]
    changed = sa.select(db.DeploymentSchedule.id, db.DeploymentSchedule.updated, db.Deployment.updated).where(
        db.DeploymentSchedule.id.in_({schedule for _, schedule in plans}),
        db.DeploymentSchedule.active.is_(True),
        db.Deployment.id == db.DeploymentSchedule.deployment_id,
        db.Deployment.paused.is_not(True),
    )
    since = {schedule: max(times) for schedule, *times in (await session.execute(changed)).all()}
    hold = [run for run, schedule in plans if schedule in since and since[schedule] <= run["state"]["timestamp"]]
    return await _insert(session=session, runs=hold)


def keep_true() -> None:
    """Let Prefect, in this process, plan no run for a deployment that has changed since it was read for its plan.

    Prefect reads in one transaction and writes what it plans in the next. A job that was deleted, paused or edited
    between them, which on a busy server is seconds, would still run: as it was, and when it was to. Dropped here, it is
    planned anew in the next round if there is something to plan.
    """
    deployments._insert_scheduled_flow_runs = _insert_what_still_holds
