"""What Prefect plans of a job is what the job is when the plan is written down, not what it was a moment before."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from blocks.embedded import DATABASE, folder
from core.errors import NotFound
from core.jobs import Address, JobSpec
from core.settings import settings
from deployments import jobs
from flows.backup import backup
from tests.environment import without_ours

ROUND_SECONDS = 5  # in which Prefect plans for all jobs that have changed
NAME = "planned"
SPEC = JobSpec(name=NAME, source=Address("planned-shop"), destinations=(Address("planned-near"),))
PLANNING = Path(__file__).with_name("planning.py")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[object]]]:
    """What was planned in each case: each run by its minute, and the version of its parameters."""
    command = [sys.executable, PLANNING, tmp_path_factory.mktemp("planning")]
    done = subprocess.run(command, env=without_ours(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[object]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("change", ["deleted", "paused", "edited", "rescheduled", "edited while it is read"])
def test_nothing_is_planned_of_what_has_changed_since_it_was_read(
    outcome: dict[str, list[list[object]]], change: str
) -> None:
    assert outcome[change] == []


@pytest.mark.parametrize(("change", "expected"), [("edited", [0, 2]), ("rescheduled", [7, 1]), ("paused", [0, 1])])
def test_the_next_round_plans_it_as_it_is_then(
    outcome: dict[str, list[list[object]]], change: str, expected: list[object]
) -> None:
    assert outcome[f"{change}, next round"] == [expected] * 3


@pytest.mark.parametrize("case", ["unchanged", "changed by a clock that was ahead"])
def test_what_is_as_it_was_is_planned(outcome: dict[str, list[list[object]]], case: str) -> None:
    assert outcome[case] == [[0, 1]] * 3


def test_what_no_schedule_has_made_is_not_judged(outcome: dict[str, list[list[object]]]) -> None:
    assert outcome["made by somebody"] == [[0, 1]] * 3


@pytest.fixture
def saved_names(home: Path, tmp_path: Path, shop: Path) -> Iterator[None]:
    saved.add_source(LOCAL_ADMINISTRATOR, "planned-shop", f"sqlite://{shop}")
    saved.add_storage(LOCAL_ADMINISTRATOR, "planned-near", f"file://{tmp_path}/near")
    yield
    with suppress(NotFound):
        jobs.delete(NAME)
    saved.remove_source(LOCAL_ADMINISTRATOR, "planned-shop")
    saved.remove_storage(LOCAL_ADMINISTRATOR, "planned-near")


@pytest.mark.usefixtures("saved_names")
def test_the_embedded_server_plans_nothing_of_a_job_that_is_deleted_meanwhile() -> None:
    """Nothing can be written for a while, and who wants to waits in the order of coming: the end before the plan."""
    jobs.create(SPEC, f"{(datetime.now(UTC).minute + 30) % 60} * * * *")
    with prefect_api(), get_client(sync_client=True) as client, ThreadPoolExecutor(1) as beside:
        found = jobs.deployment(client, NAME).id
        with closing(sqlite3.connect(folder(settings()) / DATABASE, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            deleted = beside.submit(jobs.delete, NAME)
            time.sleep(ROUND_SECONDS + 2)
            assert not deleted.done()
            connection.execute("ROLLBACK")
        deleted.result()
        client.create_flow(backup)  # waits its turn behind the plan
        of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[found]))
        assert client.read_flow_runs(flow_run_filter=of_it) == []
