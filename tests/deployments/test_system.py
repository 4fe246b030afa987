"""``dbackup up``: everything runs, in order, and goes on whatever part of it dies."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks import embedded
from core.jobs import Address, JobSpec
from core.settings import settings
from core.states import RunState
from deployments import jobs, pool, queued, runs
from deployments.client import prefect_client
from deployments.runs import Run
from services.records import executions
from tests.environment import without_ours
from tests.system import COMMAND, System, report_of, system_up, user_of
from tests.waiting import until

MANY, AT_ONCE = 20, 2
KEY = "11" * 32
FINAL = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}


def save_shop(name: str, folder: Path) -> Path:
    """Save a small SQLite database as a source and a folder as a storage, under one name, and give the folder."""
    database, backups = folder / f"{name}.db", folder / f"{name}-backups"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE orders (note TEXT)")
        connection.execute("INSERT INTO orders VALUES ('one')")
        connection.commit()
    saved.add_source(LOCAL_ADMINISTRATOR, name, f"sqlite:///{database}")
    saved.add_storage(LOCAL_ADMINISTRATOR, name, f"file://{backups}")
    return backups


def save_job(name: str, shop: str) -> None:
    jobs.create(JobSpec(name=name, source=Address(shop), destinations=(Address(shop),)))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody can read the database: a backup of it runs, and waits."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def flow_run(run: str) -> FlowRun:
    with prefect_client() as client:
        return client.read_flow_run(run)  # type: ignore[arg-type]


def of_jobs() -> list[Run]:
    """The runs of jobs that wait or are at work; what the system does by itself may come in between."""
    return [one for one in runs.at_hand() if one.kind == "backup"]


def state_of(run: str) -> StateType | None:
    state = flow_run(run).state
    return state.type if state else None


def history_of(run: str) -> list[State]:
    with prefect_client() as client:
        return sorted(client.read_flow_run_states(run), key=lambda one: one.timestamp)  # type: ignore[arg-type]


def begun_and_ended(run: str) -> tuple[datetime, datetime]:
    """From when to when a run has held its place in the queue."""
    history = history_of(run)
    begun = [one.timestamp for one in history if one.type is StateType.PENDING]
    return begun[-1], history[-1].timestamp


def stored(backups: Path) -> set[str]:
    """The jobs of which a whole backup lies in a folder."""
    return {manifest.parent.parent.name.rpartition("-")[0] for manifest in backups.glob("*/*/backup.meta.json")}


def refused(**variables: str) -> subprocess.CompletedProcess[str]:
    """``dbackup up`` where it cannot run."""
    done = subprocess.run(
        [COMMAND, "up"], env={**without_ours(), **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    return done


# --- the system runs --------------------------------------------------------------------------------------------


def test_the_system_is_ready_when_server_worker_and_pages_answer_and_each_says_where(system: System) -> None:
    api = embedded.running(settings())
    assert api
    assert api.url.removesuffix("/api") in system.said
    assert f"http://127.0.0.1:{system.port}" in system.said
    assert [system.said.index(part) for part in ("server", "worker", "web")] == sorted(
        system.said.index(part) for part in ("server", "worker", "web")
    )
    assert httpx.get(f"http://127.0.0.1:{system.port}/health", trust_env=False).status_code in (200, 503)
    assert [worker.alive for worker in pool.look().workers] == [True]


def test_a_worker_that_misses_one_beat_is_not_silent(system: System) -> None:
    environment = Path(f"/proc/{system.process_of('deployments.worker')}/environ").read_text().split("\0")
    (seconds,) = [one.partition("=")[2] for one in environment if one.startswith("PREFECT_WORKER_HEARTBEAT_SECONDS=")]
    latest = 1.3 * float(seconds)  # Prefect's own spread
    assert 2 * latest < pool.SILENT.total_seconds()


def test_a_job_runs_in_the_queue_and_its_result_is_told_here(system: System, tmp_path: Path) -> None:
    backups = save_shop("followed", tmp_path)
    save_job("followed", "followed")
    done = system.dbackup("job", "run", "followed", "--json")
    assert done.returncode == 0, done
    report = report_of(done)
    assert (report["state"], report["job"]) == ("SUCCESS", "followed")
    assert stored(backups) == {"followed"}
    last = executions().recent(1)[0]
    assert last.flow_run_id
    assert last.flow_run_id in done.stderr
    assert flow_run(last.flow_run_id).work_pool_name == pool.POOL


def test_a_job_that_fails_in_the_queue_fails_here_with_the_same_words(system: System, tmp_path: Path) -> None:
    save_shop("gone", tmp_path)
    save_job("gone", "gone")
    (tmp_path / "gone.db").unlink()
    done = system.dbackup("job", "run", "gone")
    assert done.returncode == 1
    assert "gone.db" in done.stdout + done.stderr


def test_who_stops_watching_leaves_the_run_in_the_queue(system: System, tmp_path: Path) -> None:
    backups = save_shop("left", tmp_path)
    save_job("left", "left")
    with locked(tmp_path / "left.db"):
        watching = subprocess.Popen(
            [COMMAND, "job", "run", "left"], env=system.environment, stderr=subprocess.PIPE, text=True
        )
        run = ""
        assert watching.stderr
        while "runs" not in (line := watching.stderr.readline()):
            run = run or (line.split()[1] if line.startswith("run ") else "")
        held = [one for one in of_jobs() if one.position is None]
        assert [(one.run_id, one.job) for one in held] == [(run, "left")]
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=60)
        assert watching.returncode == 130
        assert f"run {run} of left goes on" in said
    until(lambda: state_of(run) in FINAL, "the run to end")
    assert state_of(run) is StateType.COMPLETED
    assert stored(backups) == {"left"}


@pytest.mark.timeout(900)  # twenty processes that import Prefect, on two cores that others may use, too
def test_of_many_runs_queued_at_once_none_is_lost_and_order_and_limit_are_kept(system: System, tmp_path: Path) -> None:
    backups = save_shop("many", tmp_path)
    pool.set_limit(AT_ONCE)
    names = [f"many-{number:02}" for number in range(MANY)]
    for name in names:
        save_job(name, "many")
    ids = [queued.put(name) for name in names]
    again = queued.put(names[0])  # a job never overlaps itself
    shown = [one.job for one in of_jobs() if one.position]
    assert shown[-10:] == [*names[-9:], names[0]]
    until(lambda: all(state_of(run) in FINAL for run in (*ids, again)), "the queue to be empty", seconds=800)
    assert {state_of(run) for run in (*ids, again)} == {StateType.COMPLETED}
    assert stored(backups) == set(names)
    spans = [begun_and_ended(run) for run in ids]
    # Those that are taken at the same time may begin in any order; none before one that was taken earlier.
    assert all(one[0] <= later[0] for one, later in zip(spans, spans[AT_ONCE:], strict=False))
    spans.append(begun_and_ended(again))
    assert max(sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans) <= AT_ONCE
    assert spans[-1][0] >= spans[0][1]
    assert of_jobs() == []


def test_no_secret_stands_in_an_argument_list_or_in_a_deployment(system: System, tmp_path: Path) -> None:
    save_shop("plain", tmp_path)
    save_job("plain", "plain")
    api = embedded.running(settings())
    assert api
    assert api.auth
    key = (system.home / "encryption.key").read_text().strip()
    password = api.auth.partition(":")[2]
    with locked(tmp_path / "plain.db"):
        run = queued.put("plain")
        until(lambda: state_of(run) is StateType.RUNNING, "the run to begin")
        processes = system.processes()
    listed = " ".join(processes.values())
    assert sum("deployments.fork_server" in argv for argv in processes.values()) == 2, "itself, and the run"
    with prefect_client() as client:
        written = (
            jobs.deployment(client, "plain").model_dump_json() + client.read_work_pool(pool.POOL).model_dump_json()
        )
    assert not [secret for secret in (key, password) if secret in listed + written]
    until(lambda: state_of(run) in FINAL, "the run to end")


def test_a_worker_and_a_server_that_die_are_started_again_where_they_were(system: System, tmp_path: Path) -> None:
    save_shop("after", tmp_path)
    save_job("after", "after")
    before = embedded.running(settings())
    for module in ("deployments.worker", "blocks.server"):
        died = system.process_of(module)
        os.kill(died, signal.SIGKILL)
        until(lambda: module in " ".join(v for k, v in system.processes().items() if k != died), f"{module} again")  # noqa: B023
    until(lambda: embedded.running(settings()) is not None, "the server to answer")
    assert embedded.running(settings()) == before
    assert system.said.count("started again") >= 2
    assert queued.follow(queued.put("after"), lambda _: None).state is RunState.SUCCESS


# --- the end, expected or not -----------------------------------------------------------------------------------


def begin(name: str) -> str:
    run = queued.put(name)
    until(lambda: executions().of_flow_run(run) is not None, "the run to begin")
    return run


def test_a_killed_system_and_a_stopped_one_leave_nothing_that_runs_for_ever(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with system_up(home) as killed, user_of(home):
        backups = save_shop("cut", tmp_path)
        save_job("cut", "cut")
        with locked(tmp_path / "cut.db"):
            dead = begin("cut")
            for process in [killed.process.pid, *killed.processes()]:
                _kill(process)
            until(lambda: not killed.processes(), "every process of the system to be gone")
    with user_of(home), prefect_client():  # a command has started a server meanwhile
        between = embedded.running(settings())
    with system_up(home) as stopped, user_of(home):
        assert embedded.running(settings()) == between, "the system's own has its address and its password"
        assert state_of(dead) is StateType.CRASHED
        assert _recorded(dead) is RunState.CRASHED
        assert of_jobs() == []
        assert queued.follow(queued.put("cut"), lambda _: None).state is RunState.SUCCESS
        with locked(tmp_path / "cut.db"):
            cancelled = begin("cut")
            assert stopped.stop() == 0
        assert "cancelled" in stopped.said
        until(lambda: not stopped.processes(), "every process of the system to be gone")
        assert _recorded(cancelled) is RunState.CANCELLED
        assert state_of(cancelled) is StateType.CANCELLED
        assert len(list(backups.glob("cut-*/*"))) == 1
        assert [left.name for left in (backups / ".incoming").iterdir()] == [".gate"]
        _end_of_server(home)


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _recorded(run: str) -> RunState | None:
    found = executions().of_flow_run(run)
    return found.state if found else None


def _end_of_server(home: Path) -> None:
    """End the server that this process has started by asking for the state of a run."""
    embedded.ended(settings())
    assert not (home / "prefect" / embedded.ADDRESS).exists()


# --- where it cannot run ----------------------------------------------------------------------------------------


def test_a_home_has_one_system(system: System) -> None:
    done = refused(**{**system.environment})
    assert f"runs already, as process {system.process.pid}" in done.stderr


@pytest.mark.parametrize("setting", ["DBACKUP_SERVER_PORT", "DBACKUP_WEB_PORT"])
def test_a_port_that_somebody_else_uses_is_named_with_its_setting(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = refused(DBACKUP_HOME=str(tmp_path), **{setting: port})
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert f"set {setting} to another one" in done.stderr
    assert not (tmp_path / "logs").exists(), "nothing was started"


def test_a_port_of_the_pages_that_somebody_else_uses_ends_no_server(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, prefect_client():
        before = embedded.running(settings())
        refused(DBACKUP_HOME=str(home), DBACKUP_WEB_PORT=str(taken.getsockname()[1]))
        assert before
        assert embedded.running(settings()) == before


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = refused(DBACKUP_HOME=str(tmp_path / "file" / "home"))
    assert "cannot write to" in done.stderr
    assert "set DBACKUP_HOME" in done.stderr


@pytest.mark.parametrize("wrong", ["address", "password"])
def test_an_api_that_is_away_or_refuses_us_is_said(system: System, tmp_path: Path, wrong: str) -> None:
    api = embedded.running(settings())
    assert api
    addresses: Mapping[str, str] = {"address": "http://127.0.0.1:9/api", "password": api.url}
    done = refused(
        DBACKUP_HOME=str(tmp_path),
        DBACKUP_ENCRYPTION_KEY=KEY,
        PREFECT_API_URL=addresses[wrong],
        PREFECT_API_AUTH_STRING="dbackup:wrong",
    )
    assert f"the Prefect API at {addresses[wrong]} does not answer, or refuses PREFECT_API_AUTH_STRING" in done.stderr


def test_without_a_system_a_job_runs_here_and_says_so_and_nobody_waits_for_nothing(tmp_path: Path) -> None:
    with user_of(tmp_path / "home"):
        save_shop("alone", tmp_path)
        save_job("alone", "alone")
        here = subprocess.run(
            [COMMAND, "job", "run", "alone"], capture_output=True, text=True, timeout=120, check=False
        )
        put = subprocess.run(
            [COMMAND, "job", "run", "alone", "--no-wait"], capture_output=True, text=True, timeout=120, check=False
        )
        _end_of_server(tmp_path / "home")
    assert here.returncode == 0, here
    assert "runs here, in this process" in here.stderr
    assert put.returncode == 2
    assert "nobody takes from the queue" in put.stderr
