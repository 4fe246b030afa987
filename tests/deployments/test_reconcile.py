"""A run that nobody carries out any longer is found and ended; one that lives never is. The clock of these is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling, Completed, Pending, Running

from blocks.api import prefect_api
from core.errors import ConnectionError
from core.settings import Settings
from core.states import RunState
from deployments import cancelling, processes, runs
from deployments.reconcile import LOOK_SECONDS, RUN_SECONDS, WORKER_SECONDS, Watch
from flows.backup import backup
from services.records import executions
from services.workspace import workspace
from tasks import heartbeat
from tests.waiting import until

COMMAND = Path(sys.executable).with_name("dbackup")
SILENT = Settings.model_fields["lost_after"].default
ELSEWHERE = {heartbeat.HOST: "another-machine", heartbeat.HOME: "/srv/dbackup"}


@dataclass
class Looks:
    """A watch whose time passes when it is told to."""

    client: SyncPrefectClient
    now: float = 1000.0

    def __post_init__(self) -> None:
        self._watch = Watch(clock=lambda: self.now)

    def run(self, state: State[None], labels: dict[str, object] | None = None) -> UUID:
        """A flow run in a state, which no process carries out."""
        made = self.client.create_flow_run(backup, state=state, parameters={"job": None})
        if labels:
            self.client.update_flow_run_labels(made.id, labels)
        return made.id

    def look(self, *, after: float = 0.0) -> None:
        """Look once, so many seconds later."""
        self.now += after
        self._watch.look()

    def watch(self, seconds: float) -> None:
        """Look again and again for so many seconds."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.look(after=LOOK_SECONDS)

    def read(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def state(self, run: UUID) -> str:
        found = self.read(run).state
        assert found
        return found.type.value


@pytest.fixture
def looks(home: Path) -> Iterator[Looks]:
    with prefect_api(), get_client(sync_client=True) as client:
        looks = Looks(client)
        looks.look()  # what earlier tests have left
        yield looks


@contextmanager
def held(run: UUID) -> Iterator[None]:
    """A process of this home carries out the run: this one."""
    with workspace(heartbeat._folder(), str(run)):
        yield


HERE = {heartbeat.HOST: os.uname().nodename}


def test_a_run_of_a_machine_that_has_vanished_is_ended_within_two_minutes(looks: Looks) -> None:
    run = looks.run(Running(), ELSEWHERE)
    record = executions().create("backup", "shop", flow_run_id=str(run))
    looks.look(after=LOOK_SECONDS)
    looks.watch(SILENT)
    assert looks.state(run) == "RUNNING"
    looks.look(after=LOOK_SECONDS)
    assert looks.state(run) == "CRASHED"
    known = executions().get(record)
    assert known
    assert known.state is RunState.CRASHED
    assert SILENT + 2 * LOOK_SECONDS < 120


def test_a_run_of_another_machine_whose_heart_beats_is_left_alone(looks: Looks) -> None:
    run = looks.run(Running(), ELSEWHERE)
    for _ in range(12):
        heartbeat.beat(looks.client, run)
        looks.look(after=LOOK_SECONDS)
    assert looks.state(run) == "RUNNING"


def test_a_run_that_was_taken_but_never_begun_is_ended_as_well(looks: Looks) -> None:
    run = looks.run(Pending())
    looks.look()
    assert looks.state(run) == "PENDING"
    looks.watch(SILENT + LOOK_SECONDS)
    assert looks.state(run) == "CRASHED"


def test_a_time_in_which_nobody_could_look_makes_nobody_dead(looks: Looks) -> None:
    run = looks.run(Running(), ELSEWHERE)
    looks.look()
    looks.look(after=600)  # the Prefect API was away: no beat could arrive either
    assert looks.state(run) == "RUNNING"
    looks.watch(SILENT + LOOK_SECONDS)
    assert looks.state(run) == "CRASHED"


def test_a_run_of_this_home_lives_as_long_as_its_process_even_a_stopped_one(looks: Looks, home: Path) -> None:
    run = looks.run(Running(), {**HERE, heartbeat.HOME: str(home)})
    with held(run):
        before = looks.read(run).labels.get(heartbeat.BEAT)
        looks.watch(2 * SILENT)
        assert looks.state(run) == "RUNNING"
        assert looks.read(run).labels[heartbeat.BEAT] != before, "others are told so, as it cannot itself"
    looks.look()
    assert looks.state(run) == "CRASHED", "at once: its process is known to be gone"


def test_a_run_of_another_home_on_this_machine_is_not_judged_by_our_processes(looks: Looks) -> None:
    run = looks.run(Running(), {**HERE, heartbeat.HOME: "/srv/other"})
    looks.look()
    assert looks.state(run) == "RUNNING"


def test_a_run_of_this_home_whose_worker_is_only_making_its_process_is_not_judged_by_it(
    looks: Looks, home: Path
) -> None:
    run = looks.run(Pending(), {**HERE, heartbeat.HOME: str(home)})
    looks.look()
    assert looks.state(run) == "PENDING"
    looks.watch(SILENT + LOOK_SECONDS)
    assert looks.state(run) == "CRASHED"


def test_a_process_of_another_home_on_this_machine_is_neither_seen_nor_ended(
    looks: Looks, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = looks.run(Running(), {**HERE, heartbeat.HOME: str(tmp_path)})
    environment = {**os.environ, "DBACKUP_HOME": str(tmp_path), "PREFECT__FLOW_RUN_ID": str(run)}
    monkeypatch.setattr(cancelling, "PATIENCE_SECONDS", 0.5)
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=subprocess.PIPE) as process:
        try:
            assert processes.of_run(str(run)) is None
            with pytest.raises(ConnectionError, match=f"by the home {tmp_path}, where no worker answers"):
                cancelling.cancel(runs.find(str(run)))
            looks.watch(WORKER_SECONDS + RUN_SECONDS + LOOK_SECONDS)
            assert process.poll() is None
            assert looks.state(run) == "CANCELLING", "its own home is left to end it"
        finally:
            process.kill()


def test_a_run_that_ends_while_it_is_judged_keeps_its_end(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    run = looks.run(Running(), ELSEWHERE)
    carried_out = processes.carried_out

    def ends_now() -> Iterator[tuple[int, str]]:
        looks.client.set_flow_run_state(run, Completed())
        return carried_out()

    looks.watch(SILENT)
    monkeypatch.setattr(processes, "carried_out", ends_now)
    looks.watch(2 * LOOK_SECONDS)
    assert looks.state(run) == "COMPLETED"


def test_a_run_that_was_taken_for_dead_wrongly_has_the_last_word(looks: Looks) -> None:
    run = looks.run(Running(), ELSEWHERE)
    record = executions().create("backup", "shop", flow_run_id=str(run))
    looks.look(after=LOOK_SECONDS)
    looks.watch(SILENT + LOOK_SECONDS)
    executions().finish(record, RunState.SUCCESS, summary="1 database")
    looks.look()  # it could not tell Prefect, but its record says what became of it
    assert looks.state(run) == "COMPLETED"


def test_a_cancelled_run_whose_worker_is_gone_is_told_to_end_and_then_made_to(
    looks: Looks, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = looks.run(Running(), {**HERE, heartbeat.HOME: str(home)})
    with ExitStack() as stack:
        stack.enter_context(held(run))
        process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout
        assert process.stdout.readline() == b"deaf\n"
        monkeypatch.setattr(processes, "of_run", lambda run_id: process.pid)
        looks.client.set_flow_run_state(run, Cancelling())
        looks.look()
        assert process.poll() is None, "its worker may be about to"
        looks.look(after=WORKER_SECONDS)
        assert process.stdout.readline() == b"told\n"
        looks.look(after=RUN_SECONDS)
        until(lambda: process.poll() == -signal.SIGKILL, "its end")
    looks.look()
    assert looks.state(run) == "CANCELLED"


DEAF = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
print("deaf", flush=True)
while True:
    time.sleep(1)
"""


def test_a_killed_command_is_found_at_once_and_a_living_one_is_left_alone(
    looks: Looks, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "breakpoints").mkdir()
    (tmp_path / "breakpoints" / "dump").touch()
    before = {run.execution_id for run in executions().recent(50)}
    points = Path(__file__).parents[1] / "fakes" / "breakpoints"
    variables = {"PYTHONPATH": str(points), "BREAKPOINTS": str(tmp_path / "breakpoints"), "BREAKPOINT": "dump"}
    with subprocess.Popen(
        [COMMAND, "backup", f"sqlite://{shop}", "--to", tmp_path / "b"],
        env={**os.environ, **variables},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            until((tmp_path / "breakpoints" / "dump.reached").exists, "the dump to begin")
            (record,) = (run for run in executions().recent(5) if run.execution_id not in before)
            run = UUID(record.flow_run_id)
            until(lambda: heartbeat.is_of_this_home(looks.read(run).labels), "it to say where it is")
            looks.watch(2 * SILENT)
            assert looks.state(run) == "RUNNING"
        finally:
            process.kill()
    looks.look()
    assert looks.state(run) == "CRASHED"
    known = executions().get(record.execution_id)
    assert known
    assert known.state is RunState.CRASHED
