"""Whatever dies, at whichever step of a backup: its run ends, nothing of it is left, and the next one succeeds.

A job for each step, all of them stopped at theirs at the same time; then one thing is killed for all of them. The next
run of each job is that of the next test, which waits until all are at their steps again: no slot may be held. So their
order counts: where only parts of a system die, all runs succeed, also after those that were killed before.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, StateType

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks import embedded
from blocks.addresses import open_storage
from core.errors import ConnectionError
from core.jobs import Address, IntegritySpec, JobSpec
from core.settings import settings
from core.states import RunState
from deployments import jobs, pool, queued
from deployments import runs as runs_of_queue
from deployments.client import prefect_client
from deployments.processes import is_alive
from flows.integrity import integrity
from services import janitor
from services.records import executions
from services.workspace import alive
from tests.disks import small_disk
from tests.flows.shop import children
from tests.servers.postgresql import Server
from tests.system import System, system_up, user_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)  # each wait within has its own, shorter end
BEFORE = ("initialize", "dump", "spooled", "verify")  # the manifest is written: nothing that counts is stored
UNRECORDED = ("committed", "complete")  # the backup counts, and the record of its run does not say so yet
AFTER = ("retain",)
STEPS = (*BEFORE, *UNRECORDED, *AFTER)
BREAKPOINTS = Path(__file__).parents[1] / "fakes" / "breakpoints"
FINAL_SECONDS = 120  # from the kill, or the restart
BUSY_SECONDS = 400  # for work, not for a state: seven runs on a machine that has more to do
OUTCOME = {
    StateType.COMPLETED: RunState.SUCCESS,
    StateType.FAILED: RunState.FAILED,
    StateType.CANCELLED: RunState.CANCELLED,
    StateType.CRASHED: RunState.CRASHED,
}
Runs = Mapping[str, str]  # by the job's name


@dataclass
class Stage:
    """A system with a job for each step, which can be stopped there."""

    folder: Path
    stack: ExitStack
    system: System

    def start_again(self) -> None:
        """Start a system where there was one, until the last test has ended."""
        self.system = self.stack.enter_context(system_of(self.folder))

    @property
    def storage(self) -> Path:
        return self.folder / "disk" / "near"

    def begin(self, *names: str) -> Runs:
        return {name: put(name) for name in names}

    @contextmanager
    def stopped(self, *steps: str) -> Iterator[Runs]:
        """Within this context a run of each of these jobs has come to its step. Afterwards those that live go on."""
        for step in steps:
            self._reached(step).unlink(missing_ok=True)
            (self.folder / "breakpoints" / step).touch()
        try:
            runs = self.begin(*steps)
            until(lambda: all(map(self._is_at, steps)), "each run to come to its step", seconds=BUSY_SECONDS)
            yield runs
        finally:
            for step in steps:
                (self.folder / "breakpoints" / step).unlink()

    def _is_at(self, step: str) -> bool:
        return self._reached(step).exists()

    def process_at(self, step: str) -> int:
        return int(self._reached(step).read_text())

    def _reached(self, step: str) -> Path:
        return self.folder / "breakpoints" / f"{step}.reached"

    def require_nothing_left(self, *runs: str) -> None:
        """Fail when one has left a process, a slot, a folder or a file of no whole backup, or when one is damaged."""
        marks = [f"PREFECT__FLOW_RUN_ID={run}" for run in runs]
        until(lambda: not any(list(children(mark)) for mark in marks), "every process to end", seconds=BUSY_SECONDS)
        assert alive(self.system.home / "alive").isdisjoint(runs)
        until(lambda: not [one for one in runs_of_queue.at_hand() if one.kind == "backup"], "every slot to be free")
        until(lambda: [path.name for path in (self.system.home / "runs").iterdir()] == [".gate"], "every folder to go")
        storage = open_storage(Address("near"))
        for leftover in janitor.leftovers(storage, datetime.now(UTC) + timedelta(days=2), spared=()):
            janitor.remove(storage, leftover)
        backups = [path for path in self.storage.glob("*/*") if path.parent.name != ".incoming"]
        assert [path for path in backups if not (path / "backup.meta.json").exists()] == []
        assert [path.name for path in self.storage.glob(".incoming/*") if path.name != ".gate"] == []
        assert integrity(IntegritySpec(storages=(Address("near"),))).state is RunState.SUCCESS

    def require_recovery(self, runs: Runs, *names: str) -> None:
        """Fail unless the next runs of these jobs succeed, and then nothing of the earlier ones is left."""
        after = self.begin(*names)
        assert outcomes(after, BUSY_SECONDS) == dict.fromkeys(names, RunState.SUCCESS)
        self.require_nothing_left(*runs.values(), *after.values())


def put(name: str) -> str:
    """Put a run of a job in the queue, also when the server has no time at first."""
    runs: list[str] = []

    def done() -> bool:
        try:
            runs.append(queued.put(name))
        except ConnectionError:
            return False
        return True

    until(done, f"{name} to be put in the queue")
    return runs[0]


def read(run: str) -> FlowRun | None:
    """A run as Prefect knows it; None while its server is away."""
    try:
        with prefect_client() as client:
            return client.read_flow_run(UUID(run))
    except (ConnectionError, httpx.HTTPError):
        return None


def outcome(run: str) -> RunState | None:
    """How a run ended, once Prefect and the catalog say the same."""
    known, recorded = read(run), executions().of_flow_run(run)
    state = OUTCOME.get(known.state.type) if known and known.state else None
    accepted = {state, RunState.PARTIAL} if state is RunState.FAILED else {state}
    return state if recorded is None or recorded.state in accepted else None


def is_recorded(run: str) -> bool:
    """Whether the catalog knows how a run ended, whatever Prefect knows."""
    known = executions().of_flow_run(run)
    return known is not None and known.state.is_final


def outcomes(runs: Runs, seconds: float = FINAL_SECONDS) -> dict[str, RunState | None]:
    """How the runs ended. Fails when one of them does not, in time."""
    ended: dict[str, RunState | None] = {}

    def all_over() -> bool:
        ended.update({name: outcome(run) for name, run in runs.items() if not ended.get(name)})
        return all(ended.values())

    until(all_over, "every run to end", seconds=seconds)
    return ended


def expected(ends: Mapping[tuple[str, ...], RunState]) -> dict[str, RunState]:
    return {step: state for steps, state in ends.items() for step in steps}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("lifecycle")
    (folder / "breakpoints").mkdir()
    with ExitStack() as stack:
        stack.enter_context(small_disk(folder / "disk", megabytes=64))
        stage = Stage(folder, stack, stack.enter_context(system_of(folder)))
        stack.enter_context(user_of(stage.system.home))
        with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note BLOB)")
            connection.executemany("INSERT INTO orders (note) VALUES (?)", [(os.urandom(1000),) for _ in range(500)])
        saved.add_source(LOCAL_ADMINISTRATOR, "shop", f"sqlite://{folder}/shop.db")
        saved.add_storage(LOCAL_ADMINISTRATOR, "near", f"file://{stage.storage}")
        pool.set_limit(len(STEPS))
        for step in STEPS:
            save_job(step, "shop")
        yield stage


def system_of(folder: Path) -> AbstractContextManager[System]:
    variables = {"PYTHONPATH": str(BREAKPOINTS), "BREAKPOINTS": str(folder / "breakpoints")}
    return system_up(folder / "home", **variables)


def save_job(name: str, source: str) -> None:
    jobs.create(JobSpec(name=name, source=Address(source), destinations=(Address("near"),), retries=0))


def test_the_run_itself(stage: Stage) -> None:
    with stage.stopped(*STEPS) as runs:
        for step in STEPS:
            os.kill(stage.process_at(step), signal.SIGKILL)
        assert outcomes(runs) == expected(
            {BEFORE: RunState.CRASHED, UNRECORDED: RunState.CRASHED, AFTER: RunState.SUCCESS}
        )
    stage.require_recovery(runs, "dump")


def test_the_dump_tool(stage: Stage, postgresql: Server) -> None:
    with postgresql.connect() as connection:
        connection.execute("CREATE TABLE held (note text)")
    saved.add_source(LOCAL_ADMINISTRATOR, "server", postgresql.url("postgres"))
    save_job("tool", "server")
    with postgresql.connect(autocommit=False) as connection:
        connection.execute("LOCK TABLE held")
        runs = stage.begin("tool")
        until(lambda: tools(postgresql), "the dump tool to wait for the table", seconds=120)
        for tool in tools(postgresql):
            os.kill(tool, signal.SIGKILL)
        assert outcomes(runs) == {"tool": RunState.FAILED}
    stage.require_recovery(runs, "tool")


def tools(server: Server) -> list[int]:
    found = children(f"PGPORT={server.port}")
    return [pid for pid in found if b"pg_dump" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_full_disk(stage: Stage) -> None:
    filler = stage.folder / "disk" / "filler"
    try:
        with stage.stopped(*STEPS) as runs, filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler).free)
        ended = outcomes(runs)
    finally:
        filler.unlink(missing_ok=True)
    assert {ended[step] for step in (*UNRECORDED, *AFTER)} == {RunState.SUCCESS}, "nothing more is written there"
    assert RunState.FAILED in ended.values()
    assert set(ended.values()) <= {RunState.FAILED, RunState.SUCCESS}, "what fails makes room for others"
    stage.require_recovery(runs, "dump")


def test_everything(stage: Stage) -> None:
    with stage.stopped(*STEPS) as runs:
        for process in [stage.system.process.pid, *stage.system.processes()]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not stage.system.processes(), "every process to be gone")
    stage.start_again()
    assert outcomes(runs) == expected({BEFORE: RunState.CRASHED, UNRECORDED: RunState.CRASHED, AFTER: RunState.SUCCESS})
    stage.require_recovery(runs, "dump")


def test_the_worker_and_then_the_server(stage: Stage) -> None:
    with stage.stopped(*STEPS) as runs:
        lease = lease_of(runs["dump"])
        for module in ("deployments.worker", "blocks.server"):
            before = stage.system.said.count("started again")
            os.kill(stage.system.process_of(module), signal.SIGKILL)
            until(lambda: stage.system.said.count("started again") > before, f"another {module}")  # noqa: B023
        until(lambda: read(runs["dump"]), "the server to answer again")
        with prefect_client() as client:  # what a run does every few minutes, and is ended when it is refused
            client.renew_concurrency_lease(lease_id=lease, lease_duration=300)
    assert outcomes(runs, BUSY_SECONDS) == dict.fromkeys(STEPS, RunState.SUCCESS), (
        "of each job, after what has died before"
    )
    stage.require_nothing_left(*runs.values())


def lease_of(run: str) -> UUID:
    known = read(run)
    assert known
    assert known.state
    lease = known.state.state_details.deployment_concurrency_lease_id
    assert lease
    return lease


def _parts(system: System) -> list[str]:
    """What lives of a system but its runs, who stands for them, and what they were forked from."""
    return [argv for argv in system.processes().values() if "fork_server" not in argv and "engine.py" not in argv]


def test_everything_but_the_runs(stage: Stage) -> None:
    with stage.stopped("dump", "committed") as runs:
        before = embedded.last_port(settings())
        stage.system.process.kill()
        stage.system.process.wait()
        until(lambda: not _parts(stage.system), "the parts to follow their supervisor")
        survivors = {*stage.system.processes()}
        assert {stage.process_at("dump"), stage.process_at("committed")} <= survivors
    until(lambda: all(map(is_recorded, runs.values())), "the runs to end")
    stage.start_again()
    assert embedded.last_port(settings()) == before, "the runs tell their end there"
    assert outcomes(runs) == dict.fromkeys(runs, RunState.SUCCESS)
    stage.require_recovery(runs, *runs)
    until(lambda: not any(map(is_alive, survivors)), "what the runs were forked from to end with them")
