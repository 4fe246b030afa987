"""What a worker takes, of several labels and beside other workers, and what it leaves to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Pending, Scheduled
from prefect.workers.process import ProcessJobConfiguration

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from core.jobs import Address, JobSpec
from deployments import jobs, pool
from deployments.worker import Worker

T = TypeVar("T")
LABELS = ("default", "berlin")


@pytest.fixture
def client(home: Path, tmp_path: Path, shop: Path) -> Iterator[SyncPrefectClient]:
    """A client, and a job under each label, of which no run waits."""
    with prefect_api(), get_client(sync_client=True) as client:
        pool.ensure(LABELS)
        pool.set_limit(10)
        saved.add_source(LOCAL_ADMINISTRATOR, "labelled", f"sqlite:///{shop}")
        saved.add_storage(LOCAL_ADMINISTRATOR, "labelled", f"file://{tmp_path / 'backups'}")
        for label in LABELS:
            jobs.create(_spec(label))
        while waiting := taken(*LABELS):  # of what other modules of tests have left
            client.delete_flow_run(*waiting)
        yield client
        pool.set_limit(pool.DEFAULT_LIMIT)
        for label in LABELS:
            jobs.delete(label)
        saved.remove_source(LOCAL_ADMINISTRATOR, "labelled")
        saved.remove_storage(LOCAL_ADMINISTRATOR, "labelled")


def _spec(label: str) -> JobSpec:
    return JobSpec(name=label, source=Address("labelled"), destinations=(Address("labelled"),), queue=label)


def put(client: SyncPrefectClient, label: str, *, minutes_ago: float) -> UUID:
    """A run that waits since then."""
    since = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return client.create_flow_run_from_deployment(
        jobs.deployment(client, label).id, state=Scheduled(scheduled_time=since)
    ).id


def working(labels: tuple[str, ...], act: Callable[[Worker], Awaitable[T]]) -> T:
    """What somebody does with a worker that serves these labels, as long as it works."""

    async def work() -> T:
        async with Worker("here", labels) as worker:
            return await act(worker)

    return asyncio.run(work())


def taken(*labels: str) -> list[UUID]:
    """The runs that a worker of these labels would take now."""

    async def ask(worker: Worker) -> list[UUID]:
        return [one.flow_run.id for one in await worker._get_scheduled_flow_runs()]

    return working(labels, ask)


def carried_out(run: FlowRun) -> None:
    """A worker has taken a run, and is to carry it out."""

    async def begin(worker: Worker) -> None:
        await worker.run(run, ProcessJobConfiguration(command="true", env={}))

    working(LABELS, begin)


def test_of_several_labels_the_run_that_waits_longest_comes_first_and_others_are_left_alone(
    client: SyncPrefectClient,
) -> None:
    expected = [
        put(client, LABELS[number % 2], minutes_ago=minutes) for number, minutes in enumerate((50, 40, 30, 20, 10))
    ]
    assert taken("berlin") == [expected[1]]
    assert taken("default") == [expected[0]]
    order = []
    for _ in expected:
        (run,) = taken(*LABELS)
        order.append(run)
        client.delete_flow_run(run)
    assert order == expected
    assert taken(*LABELS) == []


def test_where_the_limit_is_reached_nothing_is_taken_under_any_label(client: SyncPrefectClient) -> None:
    pool.set_limit(1)
    running = put(client, "berlin", minutes_ago=2)
    client.set_flow_run_state(running, Pending())
    waiting = put(client, "default", minutes_ago=1)
    assert [taken(label) for label in LABELS] == [[], []]
    client.delete_flow_run(running)
    assert taken(*LABELS) == [waiting]
    client.delete_flow_run(waiting)


def test_a_run_that_two_workers_make_one_too_many_is_put_back_into_its_place(client: SyncPrefectClient) -> None:
    pool.set_limit(1)
    runs = [put(client, label, minutes_ago=5) for label in LABELS]
    (told,) = [client.read_flow_run(run) for run in runs[:1]]  # before anybody takes: with the time of its turn
    for run in runs:  # each by another worker, which asked in the same moment
        assert client.set_flow_run_state(run, Pending()).status == "ACCEPT"
    carried_out(told)
    found = client.read_flow_run(told.id)
    assert found.state
    assert found.state.type is StateType.SCHEDULED
    assert found.next_scheduled_start_time == told.next_scheduled_start_time
    for run in runs:
        client.delete_flow_run(run)


def test_a_label_that_is_edited_in_prefect_is_followed_when_a_worker_begins(client: SyncPrefectClient) -> None:
    found = jobs.deployment(client, "default")
    changed = {
        **found.parameters,
        "job": _spec("default").model_copy(update={"queue": "tokyo"}).model_dump(mode="json"),
    }
    client.update_deployment(found.id, jobs.DeploymentUpdate(parameters=changed))
    assert jobs.deployment(client, "default").work_queue_name == "default"
    jobs.adopt()
    assert jobs.deployment(client, "default").work_queue_name == "tokyo"


@pytest.mark.parametrize(("given", "last"), [(None, "prefect.engine"), ("sleep 1", "1")])
def test_a_run_is_carried_out_by_the_engine_itself_unless_its_pool_says_otherwise(given: str | None, last: str) -> None:
    configuration = Worker.job_configuration(command=given)
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4()))
    assert configuration.command
    assert configuration.command.split()[-1] == last
    assert configuration._command_configured, "or Prefect starts a process that looks for the flow first"
