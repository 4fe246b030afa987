"""Runs that somebody asks for on a page: put into the queue, so that they go on when the browser is closed.

Each is a run of a deployment without which Prefect could not queue it. An address is sealed before it becomes a
parameter, which Prefect stores in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import TaskRunSort
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow

from blocks.addresses import seal
from core.errors import NotFound
from core.jobs import IntegritySpec, RestoreSpec
from core.runs import Run, Step
from core.states import RunState
from deployments import pool, run_facts, system_schedules
from deployments.client import deploy, prefect_client
from flows.integrity import integrity
from flows.restore import restore
from services.records import executions

_STEPS = 200  # Prefect gives no more at once


@dataclass(frozen=True)
class Requested:
    """A run that was asked for, as it stands, with its steps in order, and its report as JSON once it is over.

    ``parameters`` are as Prefect holds them: with sealed addresses. ``served`` is whether anybody takes from the queue.
    """

    run: Run
    steps: tuple[Step, ...]
    parameters: Mapping[str, Any]
    report: str | None
    served: bool

    @property
    def state(self) -> RunState:
        """Where it is."""
        return self.run.state


def put_restore(wish: RestoreSpec) -> str:
    """Queue a restore, and give the run's id. Raises ConnectionError."""
    return _put(restore, wish.sealed(seal).model_dump(mode="json"))


def put_integrity(wish: IntegritySpec) -> str:
    """Queue a check, and give the run's id. Raises ConnectionError."""
    return _put(integrity, wish.sealed(seal).model_dump(mode="json"))


def look(run: str, kind: str) -> Requested:
    """A run of one kind as it stands. Raises NotFound when there is none of this id."""
    with prefect_client() as client:
        found = _require(client, run, kind)
        steps = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[found.id])),
            sort=TaskRunSort.EXPECTED_START_TIME_ASC,
            limit=_STEPS,
        )
        served = pool.look().serves()
    record = executions().of_flow_run(str(found.id))
    [told] = run_facts.with_sources([run_facts.open_run(found, kind, record)], {str(found.id): found})
    return Requested(
        told,
        tuple(map(run_facts.step, steps)),
        found.parameters,
        record.report if record else None,
        served,
    )


def _require(client: SyncPrefectClient, run: str, kind: str) -> FlowRun:
    with suppress(ObjectNotFound, ValueError):
        found = client.read_flow_run(UUID(run))
        if client.read_flow(found.flow_id).name == kind:
            return found
    raise NotFound(f"there is no run {run}", hint="it may have been deleted in Prefect")


def _put(flow: Flow[Any, Any], wish: Mapping[str, Any]) -> str:
    with prefect_client() as client:
        deployment = _deployment(client, flow)
        return str(client.create_flow_run_from_deployment(deployment, parameters={"wish": dict(wish)}).id)


def _deployment(client: SyncPrefectClient, flow: Flow[Any, Any]) -> UUID:
    """The deployment that runs of a flow are queued by; it is made where there is none."""
    name = f"{flow.name}/{system_schedules.NAME}"
    try:
        return client.read_deployment_by_name(name).id
    except ObjectNotFound:
        pass
    system_schedules.ensure()
    if flow is restore:
        pool.ensure()
        deploy(
            flow,
            system_schedules.NAME,
            description="Bring databases back, when somebody asks for it.",
            tags=[system_schedules.TAG],
            work_pool_name=pool.POOL,
        )
    return client.read_deployment_by_name(name).id
