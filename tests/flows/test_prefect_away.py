"""The Prefect API goes away while a backup runs: the backup ends as it would have, and Prefect hears of it later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Crashed, Running

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from blocks.encryption_key import encryption_keys
from core.jobs import JobSpec
from core.states import RunState
from flows.backup import backup
from services.records import executions
from tests.flows.shop import job
from tests.servers.proxy import proxied
from tests.servers.webhooks import CHECK, Webhooks
from tests.waiting import until

ENDS = {RunState.SUCCESS: "", RunState.PARTIAL: "/fail"}  # of the ping
APART = """
import os, sys
from pathlib import Path
import services.backups
from core.errors import RunFailed
from core.jobs import JobSpec
from flows.backup import backup
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from services.records import executions
from tests.waiting import until

dump, folder = services.backups.dump, Path(sys.argv[2])

def dump_alone(*arguments):
    (folder / "dumping").touch()
    until((folder / "away").exists, "the API to be away")
    return dump(*arguments)

services.backups.dump = dump_alone
with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
    try:
        backup(JobSpec.model_validate_json(sys.argv[1]))
    except RunFailed:
        pass
run = executions().recent(1)[0]
print(run.state.value, run.flow_run_id, flush=True)
os._exit(0)  # Prefect would go on looking for its server
"""


@pytest.fixture
def check(healthchecks: Webhooks) -> Iterator[str]:
    """A saved dead man's switch, whose pings arrive at ``healthchecks``."""
    encryption_keys()
    saved.add_channel(LOCAL_ADMINISTRATOR, "away-check", f"ping+http://127.0.0.1:{healthchecks.port}/{CHECK}")
    yield "away-check"
    saved.remove_channel(LOCAL_ADMINISTRATOR, "away-check")


def state_in_prefect(flow_run: str) -> State | None:
    with prefect_api(), get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run).state  # type: ignore[arg-type]


def told_apart(spec: JobSpec, folder: Path) -> tuple[str, str]:
    """Run a backup in a process of its own whose API is gone from the dump on; its state, and its id in Prefect."""
    with prefect_api() as api:
        port = int(api.url.removesuffix("/api").rpartition(":")[2])
        auth, key = str(api.auth), (Path(os.environ["DBACKUP_HOME"]) / "encryption.key").read_text().strip()
    with proxied(port) as network:
        url = f"http://127.0.0.1:{network.port}/api"
        process = subprocess.Popen(
            [sys.executable, "-c", APART, spec.model_dump_json(), str(folder)],
            env={**os.environ, "PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": auth, "DBACKUP_ENCRYPTION_KEY": key},
            stdout=subprocess.PIPE,
            text=True,
        )
        until(lambda: (folder / "dumping").exists() or process.poll() is not None, "the dump to begin")
    (folder / "away").touch()  # nobody listens at its address any more
    out, _ = process.communicate(timeout=200)
    state, flow_run = out.split()[-2:]
    return state, flow_run


@pytest.mark.parametrize(
    ("destinations", "state", "name"), [(1, RunState.SUCCESS, "Completed"), (2, RunState.PARTIAL, "Partial")]
)
def test_a_run_that_ended_while_prefect_was_away_is_told_to_people_at_once_and_to_prefect_by_the_next_run(
    shop: Path, tmp_path: Path, check: str, healthchecks: Webhooks, destinations: int, state: RunState, name: str
) -> None:
    spec = job(shop, *[tmp_path / "b", Path("/proc/nowhere")][:destinations], name="away", notify=[check])
    told, flow_run = told_apart(spec, tmp_path)
    assert told == state
    assert [called.path for called in healthchecks.taken] == [f"/{CHECK}/start", f"/{CHECK}{ENDS[state]}"]
    before = state_in_prefect(flow_run)
    assert before is not None
    assert before.type == Running().type, "it has not heard of the end"
    backup(job(shop, tmp_path / "c"))
    after = state_in_prefect(flow_run)
    assert after is not None
    assert (after.name, "backup" in str(after.message)) == (name, True)


def test_a_run_that_prefect_takes_for_crashed_gets_its_own_outcome(shop: Path, tmp_path: Path) -> None:
    backup(job(shop, tmp_path / "b"))
    flow_run = str(executions().recent(1)[0].flow_run_id)
    with prefect_api(), get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Crashed(), force=True)  # type: ignore[arg-type]
    backup(job(shop, tmp_path / "c"))
    after = state_in_prefect(flow_run)
    assert after is not None
    assert after.name == "Completed"
