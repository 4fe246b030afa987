"""What ended before it could be recorded is in the history all the same: once, with what Prefect says of its end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Completed, Failed

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from core.jobs import Address, JobSpec
from core.runs import Run
from core.states import RunState
from db.executions import WantedRuns
from deployments import jobs, queued, runs
from deployments.missed import SKIPPED
from deployments.reconcile import Watch
from deployments.unrecorded import BEFORE_IT_BEGAN
from services.records import executions


@pytest.fixture
def job(home: Path, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "shop.db").touch()
    saved.add_source(LOCAL_ADMINISTRATOR, "unheard-shop", f"sqlite://{tmp_path}/shop.db")
    saved.add_storage(LOCAL_ADMINISTRATOR, "unheard-near", f"file://{tmp_path}/near")
    jobs.create(JobSpec(name="unheard", source=Address("unheard-shop"), destinations=(Address("unheard-near"),)))
    yield "unheard"
    jobs.delete("unheard")
    saved.remove_source(LOCAL_ADMINISTRATOR, "unheard-shop")
    saved.remove_storage(LOCAL_ADMINISTRATOR, "unheard-near")


@pytest.fixture
def client(home: Path) -> Iterator[SyncPrefectClient]:
    with prefect_api(), get_client(sync_client=True) as client:
        yield client


def history(job: str) -> dict[str, Run]:
    return {one.run_id: one for one in runs.ended(WantedRuns(job=job), limit=50).runs}


def test_a_run_that_is_cancelled_in_prefect_while_it_waits_is_in_the_history_once(
    client: SyncPrefectClient, job: str
) -> None:
    before = datetime.now(UTC)
    run = queued.put(job)
    client.set_flow_run_state(UUID(run), Cancelling())  # what the button in Prefect's pages asks for
    assert run not in history(job)
    first, second = Watch(), Watch()  # of two systems
    for watch in (first, second, first):
        watch.look()
    assert [one.flow_run_id for one in executions().search(WantedRuns(job=job), limit=50)].count(run) == 1
    found = history(job)[run]
    assert (found.kind, found.state, found.error) == ("backup", RunState.CANCELLED, BEFORE_IT_BEGAN)
    assert found.started_at is None
    assert found.finished_at
    assert before <= found.finished_at <= datetime.now(UTC)


def test_a_run_that_prefect_refused_to_begin_is_in_the_history_with_the_reason(
    client: SyncPrefectClient, job: str
) -> None:
    watch = Watch()
    watch.look()
    run = queued.put(job)
    client.set_flow_run_state(UUID(run), Failed(message="retries: not a number"), force=True)
    watch.look()
    assert (history(job)[run].state, history(job)[run].error) == (RunState.FAILED, "retries: not a number")


def test_what_was_missed_and_what_went_well_is_not_noted(client: SyncPrefectClient, job: str) -> None:
    skipped: State[None] = State(type=StateType.CANCELLED, name=SKIPPED)
    ended = {queued.put(job): state for state in (skipped, Completed())}
    for run, state in ended.items():
        client.set_flow_run_state(UUID(run), state, force=True)
    Watch().look()
    assert history(job).keys().isdisjoint(ended)
