"""What Prefect plans of a job is what the job is when the plan is written down, not what it was a moment before."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from blocks.embedded import DATABASE, folder
from core.errors import NotFound
from core.jobs import Address, JobSpec
from core.settings import settings
from deployments import jobs
from flows.backup import backup

ROUND_SECONDS = 5  # in which Prefect plans for all jobs that have changed
NAME = "planned"
SPEC = JobSpec(name=NAME, source=Address("planned-shop"), destinations=(Address("planned-near"),))
HOURLY, ANOTHER = ((datetime.now(UTC).minute + later) % 60 for later in (30, 35))


def planned_while(change: Callable[[], object]) -> list[FlowRun]:
    """What is planned of an hourly job when it changes after Prefect has read it, and before it writes what it plans.

    Nothing can be written for a while, and who wants to waits in the order of coming: first the change, then the plan.
    """
    jobs.create(SPEC, f"{HOURLY} * * * *")
    with prefect_api(), get_client(sync_client=True) as client, ThreadPoolExecutor(1) as beside:
        found = jobs.deployment(client, NAME).id
        with closing(sqlite3.connect(folder(settings()) / DATABASE, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            changed = beside.submit(change)
            time.sleep(ROUND_SECONDS + 2)
            assert not changed.done()
            connection.execute("ROLLBACK")
        changed.result()
        client.create_flow(backup)  # waits its turn behind the plan
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[found]))
        )


@pytest.fixture(autouse=True)
def _saved(home: Path, tmp_path: Path, shop: Path) -> Iterator[None]:
    saved.add_source(LOCAL_ADMINISTRATOR, "planned-shop", f"sqlite://{shop}")
    saved.add_storage(LOCAL_ADMINISTRATOR, "planned-near", f"file://{tmp_path}/near")
    yield
    with suppress(NotFound):
        jobs.delete(NAME)
    saved.remove_source(LOCAL_ADMINISTRATOR, "planned-shop")
    saved.remove_storage(LOCAL_ADMINISTRATOR, "planned-near")


@pytest.mark.parametrize("change", [jobs.delete, jobs.pause])
def test_nothing_is_planned_of_a_job_that_is_deleted_or_paused_meanwhile(change: Callable[[str], None]) -> None:
    assert planned_while(lambda: change(NAME)) == []


@pytest.mark.parametrize("rescheduled", [True, False])
def test_what_is_planned_of_a_job_that_is_edited_meanwhile_is_as_it_says_now(rescheduled: bool) -> None:
    cron = f"{ANOTHER} * * * *" if rescheduled else None
    runs = planned_while(lambda: jobs.edit(SPEC.model_copy(update={"retries": 7}), cron))
    expected = ANOTHER if rescheduled else HOURLY
    assert {run.expected_start_time.minute for run in runs if run.expected_start_time} <= {expected}
    assert {run.parameters["job"]["retries"] for run in runs} <= {7}
