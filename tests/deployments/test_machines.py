"""Several machines work for one server, and each knows what is its own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from prefect.client.schemas.objects import StateType

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from core.jobs import DEFAULT_QUEUE, Address, JobSpec
from core.states import RunState
from deployments import jobs, pool, queued
from services.records import executions
from tasks import heartbeat
from tests.deployments.test_system import FINAL, flow_run, locked, report_of, state_of
from tests.machines import LOST_AFTER, Machine, Site, all_up, site
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)  # a dozen processes that import Prefect, on two cores that others may use, too
ELSEWHERE = "paris"  # which only the first machine serves
LABEL = "berlin"  # which only the second machine serves
SECONDS = 240  # for what takes some ten seconds on a quiet machine


@dataclass(frozen=True)
class Two:
    """Two machines that work, the databases that they can reach, and the processes that they are."""

    site: Site
    shop: Path
    processes: tuple[Popen[bytes], Popen[bytes]]

    @property
    def first(self) -> Machine:
        return self.site.machines[0]

    @property
    def second(self) -> Machine:
        return self.site.machines[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with site(tmp_path_factory.mktemp("machines"), "db1", "db2") as found, ExitStack() as stack:
        first, second = found.machines
        started = first.up(ELSEWHERE, DEFAULT_QUEUE), second.up(LABEL, DEFAULT_QUEUE)
        processes = stack.enter_context(started[0]), stack.enter_context(started[1])
        all_up(*zip(found.machines, processes, strict=True))
        shop = _database(found.folder / "shop.db")
        _database(second.own_disk / "only-here.db")
        for name, url in (("shop", f"sqlite:///{shop}"), ("there", f"sqlite:///{second.disk}/only-here.db")):
            saved.add_source(LOCAL_ADMINISTRATOR, name, url)
        saved.add_storage(LOCAL_ADMINISTRATOR, "shared", found.s3)
        yield Two(found, shop, processes)


def _database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (note TEXT)")
        connection.execute("INSERT INTO orders VALUES ('one')")
        connection.commit()
    return path


def begin(name: str, source: str = "shop", queue: str = DEFAULT_QUEUE) -> str:
    """Save a job, and put a run of it into the queue."""
    jobs.create(_job(name, source, queue))
    return queued.put(name)


def _job(name: str, source: str, queue: str) -> JobSpec:
    return JobSpec(name=name, source=Address(source), destinations=(Address("shared"),), queue=queue)


def host_of(run: str) -> str:
    """The machine that carries a run out; empty while none does."""
    return str(flow_run(run).labels.get(heartbeat.HOST, ""))


def until_they_run(*runs: str) -> None:
    until(lambda: all(executions().of_flow_run(run) for run in runs), "the runs to begin", seconds=SECONDS)


def until_they_end(*runs: str) -> None:
    until(lambda: all(state_of(run) in FINAL for run in runs), "the runs to end", seconds=SECONDS)


def test_runs_spread_over_the_machines_and_a_label_sends_one_to_the_machine_that_serves_it(two: Two) -> None:
    with locked(two.shop):
        spread = _on_each(two)
        bound, waiting = begin("bound", "there", LABEL), begin("unserved", "there", "tokyo")
        until_they_run(*spread, bound)
    until_they_end(*spread, bound)
    assert {state_of(run) for run in (*spread, bound)} == {StateType.COMPLETED}
    assert {host_of(run) for run in spread} == {two.first.name, two.second.name}
    assert host_of(bound) == two.second.name
    assert state_of(waiting) is StateType.SCHEDULED
    assert pool.look().served == {DEFAULT_QUEUE, ELSEWHERE, LABEL}
    told = two.first.dbackup("queue").stdout
    assert "tokyo" in told
    assert "nobody takes from it: dbackup up --queue tokyo" in told


def test_a_machine_that_dies_costs_only_its_own_runs_and_another_one_ends_them(two: Two) -> None:
    pool.set_limit(2)
    with locked(two.shop):
        lost, kept = begin("lost", queue=ELSEWHERE), begin("kept", queue=LABEL)
        until_they_run(lost, kept)
        two.processes[0].kill()
        until(lambda: state_of(lost) is StateType.CRASHED, "the run to be ended", seconds=SECONDS + LOST_AFTER)
        assert state_of(kept) is StateType.RUNNING
    until_they_end(kept)
    assert state_of(kept) is StateType.COMPLETED
    recorded = executions().of_flow_run(lost)
    assert recorded
    assert recorded.state is RunState.CRASHED
    jobs.edit(_job("lost", "shop", DEFAULT_QUEUE))  # what only a dead machine served, any other may do
    again = queued.put("lost")
    until_they_end(again)
    assert (state_of(again), host_of(again)) == (StateType.COMPLETED, two.second.name)


def _on_each(two: Two) -> list[str]:
    """Runs that wait on the machines: three at once, for a machine takes one at a time, and more while one has none.

    One run after the other could go to the same machine for ever: each begins in step with what that one asks for.
    """
    runs: list[str] = []
    while len({host_of(run) for run in runs}) < len(two.site.machines) and len(runs) < 12:
        pool.set_limit(len(runs) + 4)  # those that run keep their places, and one is left for others
        more = [begin(f"spread-{len(runs) + number}") for number in range(3)]
        until_they_run(*more)
        runs += more
    return runs


def test_a_folder_of_one_machine_is_told_to_lie_there_on_another_and_can_be_brought_along(two: Two) -> None:
    folder = two.first.disk / "backups"
    assert two.first.dbackup("storage", "add", "folder", folder).returncode == 0
    made = two.first.dbackup("backup", "shop", "--to", "folder", "--json")
    assert made.returncode == 0, made
    backup = report_of(made)["backup_id"]
    wanted = ("restore", backup, "--at", "folder", "--into", f"sqlite:///{two.site.folder}/restored.db")
    refused = two.second.dbackup(*wanted)
    assert refused.returncode == 1
    assert f"the folder {folder} of db1, and this is db2" in " ".join(refused.stderr.split())
    assert "run it on db1" in refused.stderr
    shutil.copytree(two.first.own_disk / "backups", two.second.own_disk / "backups")
    restored = two.second.dbackup(*wanted)
    assert restored.returncode == 0, restored
