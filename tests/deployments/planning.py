"""``planning.py FOLDER``: how Prefect's own code plans with a database in FOLDER, as JSON. Run by ``test_planned.py``.

It is a process of its own, for Prefect decides about its database when it is imported. In each case a deployment is
read for its plan, is then changed or not, and the plan is written down.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER = Path(sys.argv[1])
URL = f"sqlite+aiosqlite:///{FOLDER / 'prefect.db'}"
sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.update(PREFECT_HOME=str(FOLDER), PREFECT_API_DATABASE_CONNECTION_URL=URL, PREFECT_LOGGING_LEVEL="ERROR")

import sqlalchemy as sa  # noqa: E402
from prefect.server.api import deployments as api  # noqa: E402
from prefect.server.database.dependencies import provide_database_interface, set_database_config  # noqa: E402
from prefect.server.models import deployments, flows  # noqa: E402
from prefect.server.schemas import actions, core, schedules  # noqa: E402

from blocks import prefect_tables, server_plans  # noqa: E402
from blocks.server_database import WaitingSqlite  # noqa: E402

prefect_tables.begin(FOLDER / "prefect.db")
set_database_config(WaitingSqlite(connection_url=URL))
server_plans.keep_true()
DB = provide_database_interface()
Change = Callable[[UUID], Awaitable[Any]]


async def make() -> UUID:
    """A deployment that runs in every hour's first minute, with the first version of its parameters."""
    async with DB.session_context(begin_transaction=True) as session:
        flow = await flows.create_flow(session=session, flow=core.Flow(name="backup"))
        hourly = core.DeploymentSchedule(schedule=schedules.CronSchedule(cron="0 * * * *"), active=True)
        wanted = core.Deployment(name=os.urandom(4).hex(), flow_id=flow.id, parameters={"v": 1}, schedules=[hourly])
        made: UUID = (await deployments.create_deployment(session=session, deployment=wanted)).id
    return made


async def read(found: UUID) -> list[dict[str, Any]]:
    """The plan for a deployment, as it is read now."""
    now = datetime.now(UTC)
    async with DB.session_context() as session:
        return await deployments._generate_scheduled_flow_runs(
            DB, session=session, deployment_id=found, start_time=now, end_time=now + timedelta(days=9),
            min_time=timedelta(hours=1), min_runs=3, max_runs=100,
        )  # fmt: skip


async def write(plan: list[dict[str, Any]]) -> None:
    """Write a plan down."""
    async with DB.session_context(begin_transaction=True) as session:
        await deployments._insert_scheduled_flow_runs(session=session, runs=plan)


async def planned(found: UUID) -> list[list[object]]:
    """The runs of a deployment: the minute of each, and the version of its parameters."""
    async with DB.session_context() as session:
        runs = (await session.execute(sa.select(DB.FlowRun).where(DB.FlowRun.deployment_id == found))).scalars()
        return [[run.expected_start_time.minute, run.parameters["v"]] for run in runs]


async def update(found: UUID, change: dict[str, Any]) -> None:
    """Change a deployment as whoever sends this does."""
    async with DB.session_context(begin_transaction=True) as session:
        await deployments.update_deployment(
            session=session, deployment_id=found, deployment=actions.DeploymentUpdate(**change)
        )


async def edit(found: UUID) -> None:
    """Give it the second version of its parameters."""
    await update(found, {"parameters": {"v": 2}})


async def reschedule(found: UUID) -> None:
    """Let it run seven minutes later."""
    later = actions.DeploymentScheduleUpdate(schedule=schedules.CronSchedule(cron="7 * * * *"), active=True)
    await update(found, {"schedules": [later]})


async def pause(found: UUID) -> None:
    """Pause it."""
    await api.pause_deployment(deployment_id=found, db=DB)


async def delete(found: UUID) -> None:
    """Delete it."""
    async with DB.session_context(begin_transaction=True) as session:
        await deployments.delete_deployment(session=session, deployment_id=found)


async def leave(found: UUID) -> None:
    """Change nothing."""
    del found


async def case(change: Change) -> tuple[UUID, list[list[object]]]:
    """A deployment that changes between its plan and the writing of it, and what is planned of it."""
    found = await make()
    plan = await read(found)
    await change(found)
    await write(plan)
    return found, await planned(found)


async def edited_while_it_is_read() -> list[list[object]]:
    """The plan is read after the edit has begun, and before it can be seen."""
    found, begun, go = await make(), asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        async with DB.session_context(begin_transaction=True) as session:
            await deployments.update_deployment(
                session=session, deployment_id=found, deployment=actions.DeploymentUpdate(parameters={"v": 2})
            )
            begun.set()
            await go.wait()

    editing = asyncio.create_task(slowly())
    await begun.wait()
    plan = await read(found)
    go.set()
    await editing
    await write(plan)
    return await planned(found)


async def ahead(found: UUID) -> list[list[object]]:
    """It was changed by a clock that was a year ahead."""
    async with DB.session_context(begin_transaction=True) as session:
        of_it = sa.update(DB.Deployment).where(DB.Deployment.id == found)
        await session.execute(of_it.values(updated=datetime.now(UTC) + timedelta(days=365)))
    await write(await read(found))
    return await planned(found)


async def by_somebody(found: UUID) -> list[list[object]]:
    """Its runs are somebody's, and no schedule's."""
    await write([run | {"created_by": None} for run in await read(found)])
    return await planned(found)


async def main() -> dict[str, list[list[object]]]:
    """Every case."""
    outcome: dict[str, list[list[object]]] = {}
    cases = {"unchanged": leave, "deleted": delete, "paused": pause, "edited": edit, "rescheduled": reschedule}
    for name, change in cases.items():
        found, outcome[name] = await case(change)
        if change is pause:
            await api.resume_deployment(deployment_id=found, db=DB)
        await write(await read(found))
        outcome[f"{name}, next round"] = await planned(found)
    outcome["edited while it is read"] = await edited_while_it_is_read()
    outcome["changed by a clock that was ahead"] = await ahead(await make())
    outcome["made by somebody"] = await by_somebody(await make())
    return outcome


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
