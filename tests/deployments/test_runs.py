"""Runs as people see them, and how one is ended: wherever it is, within seconds, and nothing of it is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect.states import Cancelling

from actions import runs as actions
from actions import saved
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.errors import ConfigurationError, PermissionError
from core.permissions import Permission
from core.runs import Run
from core.settings import settings
from core.states import RunState
from db.executions import WantedRuns
from deployments import processes, queued, run_facts, runs
from deployments.client import prefect_client
from services.records import executions
from tasks.speed import Speed
from tests.deployments.test_system import locked, save_job, save_shop, state_of
from tests.servers.postgresql import Server
from tests.system import COMMAND, System, report_of
from tests.waiting import until

ROOT = Path(__file__).parents[2]
WORK_SECONDS = 120  # until a run has come to its dump, on a machine that has more to do
CANCEL_SECONDS = 30  # ten are promised, on a machine that has not


def at_hand(job: str) -> Run | None:
    return next((one for one in runs.at_hand() if one.job == job), None)


def is_recorded(run: str) -> bool:
    return executions().of_flow_run(run) is not None


def ended_in_both(run: str) -> set[str]:
    """How a run has ended for Prefect and for the catalog."""
    recorded, state = executions().of_flow_run(run), state_of(run)
    return {state.value if state else "", recorded.state.value if recorded else ""}


def leftovers(run: str, backups: Path) -> list[object]:
    """What there should be nothing of: a process, a private folder, an unfinished backup."""
    recorded = executions().of_flow_run(run)
    folder = settings().runs / f"run-{recorded.execution_id}" if recorded else None
    found: list[object] = [processes.of_run(run)] if processes.of_run(run) else []
    found += [folder] if folder and folder.exists() else []
    there = [path for path in backups.glob("*/*") if path.name != ".gate"]  # a hidden folder is for what is on its way
    return found + [path for path in there if not (path / "backup.meta.json").exists()]


@pytest.fixture
def held(system: System, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A run that is at work and waits for a locked database, and where its backup would lie."""
    name = f"held-{tmp_path.name.rstrip('0123456789')[-20:].strip('_').replace('_', '-')}{time.monotonic_ns() % 1000}"
    backups = save_shop(name, tmp_path)
    save_job(name, name)
    with locked(tmp_path / f"{name}.db"):
        run = queued.put(name)
        until(lambda: is_recorded(run), "the run to begin")
        yield run, backups


def test_every_flow_of_ours_is_seen(system: System) -> None:
    """A flow that is not among the kinds would run unseen."""
    sources = [path.read_text() for folder in ("flows", "deployments") for path in (ROOT / folder).glob("*.py")]
    assert {name for source in sources for name in re.findall(r'@sealed_flow\("([^"]+)"', source)} == set(runs.KINDS)


def test_a_run_that_has_ended_is_told_with_its_steps_its_report_and_its_log(system: System, tmp_path: Path) -> None:
    save_shop("told", tmp_path)
    save_job("told", "told")
    run = queued.put("told")
    report = queued.follow(run, lambda _: None)
    page = runs.ended(WantedRuns(job="told"), limit=5)
    assert [(one.run_id, one.kind, one.state, one.trigger, one.host) for one in page.runs] == [
        (run, "backup", RunState.SUCCESS, "manual", os.uname().nodename)
    ]

    def proven() -> set[str]:
        return {one.name for one in runs.details(page.runs[0]).steps if one.state is RunState.SUCCESS}

    until(lambda: "complete" in proven(), "Prefect to know the steps")
    details = runs.details(runs.find(run[:8]))
    assert {one.name for one in details.steps} >= {"initialize", "dump told", "commit told"}
    assert {one.state for one in details.steps} == {RunState.SUCCESS}
    assert details.report
    assert report.backup_id in details.report
    assert details.page.endswith(f"/runs/flow-run/{run}")
    until(lambda: "run ended" in " ".join(line.text for line in runs.logs(page.runs[0])), "the log to arrive")
    lines = runs.logs(page.runs[0])
    assert [line for line in lines if line.step == "dump told" and "dump finished" in line.text]
    later = runs.logs(page.runs[0], since=lines[-1].at)
    assert lines[-1] in later
    assert lines[0] not in later


def test_a_run_at_work_is_cancelled_within_seconds_and_nothing_of_it_is_left(
    system: System, held: tuple[str, Path]
) -> None:
    run, backups = held
    assert runs.find(run).state is RunState.RUNNING
    done = system.dbackup("run", "cancel", run[:8], "--json")
    assert done.returncode == 0, done
    ended = report_of(done)
    assert (ended["run_id"], ended["state"]) == (run, "CANCELLED")
    assert ended_in_both(run) == {"CANCELLED"}
    assert leftovers(run, backups) == []
    again = system.dbackup("run", "cancel", run)
    assert again.returncode == 1
    assert "has ended already, as CANCELLED" in again.stderr


@pytest.mark.parametrize("asked_by", ["command", "prefect"])
def test_a_cancelled_run_ends_within_seconds_whoever_asks_and_its_session_on_the_database_with_it(
    system: System, postgresql: Server, tmp_path: Path, asked_by: str
) -> None:
    name = f"asked-by-{asked_by}"
    postgresql.create(name)
    postgresql.query("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id", name)
    saved.add_source(LOCAL_ADMINISTRATOR, name, postgresql.url(name))
    saved.add_storage(LOCAL_ADMINISTRATOR, name, f"file://{tmp_path}/backups")
    save_job(name, name)
    with postgresql.connect(name, autocommit=False) as connection:
        connection.execute("LOCK TABLE orders")
        run = queued.put(name)
        until(lambda: sessions(postgresql, name), "the dump to wait for the table", seconds=WORK_SECONDS)
        if asked_by == "command":
            assert system.dbackup("run", "cancel", run).returncode == 0
        else:
            with prefect_client() as client:  # what the button in Prefect's pages asks for
                client.set_flow_run_state(UUID(run), Cancelling())
        until(lambda: ended_in_both(run) == {"CANCELLED"}, "the run to be cancelled", seconds=CANCEL_SECONDS)
        until(lambda: not sessions(postgresql, name), "its sessions to end", seconds=CANCEL_SECONDS)
    # Prefect looks in one more process whether the run wants to hear of its end.
    until(lambda: leftovers(run, tmp_path / "backups") == [], "nothing of it to be left")


def sessions(server: Server, database: str) -> int:
    """How many sessions of the product and of its tools the database has."""
    ours = "application_name IN ('dbackup', 'pg_dump')"
    return int(server.query(f"SELECT count(*) FROM pg_stat_activity WHERE {ours} AND datname = '{database}'")[0][0])


def test_a_run_whose_worker_is_gone_is_ended_by_its_process(system: System, held: tuple[str, Path]) -> None:
    run, backups = held
    process = processes.of_run(run)
    assert process
    assert processes.has_worker(process)
    worker = system.process_of("deployments.worker")
    os.kill(worker, signal.SIGKILL)
    until(lambda: not processes.is_alive(worker), "the worker to be gone")
    assert processes.is_alive(process)
    assert not processes.has_worker(process)
    assert actions.cancel(LOCAL_ADMINISTRATOR, run).state is RunState.CANCELLED
    assert ended_in_both(run) == {"CANCELLED"}
    assert not processes.is_alive(process)
    assert leftovers(run, backups) == []
    until(lambda: len([one for one in system.processes().values() if "deployments.worker" in one]) == 1, "a new worker")


def test_a_run_that_waits_is_cancelled_before_it_begins(system: System, held: tuple[str, Path]) -> None:
    running, _ = held
    job = runs.find(running).job
    waiting = queued.put(job)  # a job never overlaps itself
    until(lambda: runs.find(waiting).position == 1, "the run to wait for its turn")
    assert runs.find(waiting).stage == "waits for its turn"
    assert actions.cancel(LOCAL_ADMINISTRATOR, waiting).state is RunState.CANCELLED
    assert ended_in_both(waiting) == {"CANCELLED"}
    assert [one.run_id for one in runs.at_hand()] == [running]
    assert waiting in [one.run_id for one in runs.ended(WantedRuns(job=job), limit=5).runs]
    actions.cancel(LOCAL_ADMINISTRATOR, running)


def test_a_run_on_the_command_line_is_ended_by_its_own_process(system: System, tmp_path: Path) -> None:
    save_shop("typed", tmp_path)
    with locked(tmp_path / "typed.db"):
        command = [COMMAND, "backup", "typed", "--to", "typed", "--name", "typed-here"]
        typed = subprocess.Popen(command, env=system.environment, stderr=subprocess.PIPE, text=True)
        until(lambda: (run := at_hand("typed-here")) and is_recorded(run.run_id), "the run to begin")
        run = at_hand("typed-here")
        assert run
        assert (run.trigger, run.source) == ("manual", "typed")
        assert actions.cancel(LOCAL_ADMINISTRATOR, run.run_id).state is RunState.CANCELLED
        _, said = typed.communicate(timeout=30)
    assert typed.returncode == 143
    assert "cancelled, nothing half-written was left" in said
    assert ended_in_both(run.run_id) == {"CANCELLED"}


def test_the_list_says_what_runs_what_waits_and_what_has_ended_in_pages(system: System, held: tuple[str, Path]) -> None:
    running, _ = held
    job = runs.find(running).job
    waiting = queued.put(job)
    until(lambda: runs.find(waiting).position, "the run to wait")
    listed = report_of(system.dbackup("run", "list", "--job", job, "--json"))
    assert [(one["run_id"], one["state"], one["position"]) for one in listed["at_hand"]] == [
        (running, "RUNNING", None),
        (waiting, "PENDING", 1),
    ]
    assert listed["total"] == 0
    shown = system.dbackup("queue").stdout
    assert shown.index(running[:8]) < shown.index(waiting[:8])
    for one in (waiting, running):
        actions.cancel(LOCAL_ADMINISTRATOR, one)
    one_each = ("run", "list", "--job", job, "--limit", 1, "--json", "--page")
    pages = [report_of(system.dbackup(*one_each, page)) for page in (1, 2)]
    assert [page["total"] for page in pages] == [2, 2]
    assert {page["ended"][0]["run_id"] for page in pages} == {running, waiting}


def test_whoever_is_limited_to_some_sources_sees_and_ends_the_runs_of_these(
    system: System, held: tuple[str, Path]
) -> None:
    running, _ = held
    job = runs.find(running).job
    rights = frozenset({Permission.JOBS_READ, Permission.JOBS_EXECUTE})
    stranger = Identity("stranger", rights, limits={one: frozenset({"another"}) for one in rights})
    theirs = replace(stranger, limits={one: frozenset({job}) for one in rights})
    assert actions.at_hand(stranger) == ()
    assert actions.ended(stranger, WantedRuns()).total == 0
    for refused in (actions.show, actions.logs, actions.cancel):
        with pytest.raises(PermissionError):
            refused(stranger, running)
    assert [one.run_id for one in actions.at_hand(theirs)] == [running]
    assert actions.cancel(theirs, running).state is RunState.CANCELLED
    assert [one.run_id for one in actions.ended(theirs, WantedRuns()).runs] == [running]


@pytest.mark.parametrize("reference", ["nope", "", "00000000-0000-0000-0000-000000000000", "%%%%"])
def test_a_run_that_there_is_not_is_a_sentence(system: System, reference: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no run"):
        runs.find(reference)


def test_a_command_beside_a_system_waits_for_its_server_and_starts_none(system: System) -> None:
    """One that it started itself would have another address, and the worker would never find it."""
    before = system.process_of("blocks.server")
    address = (system.home / "prefect" / "server.json").read_text()
    os.kill(before, signal.SIGKILL)
    done = system.dbackup("job", "list", "--json")
    assert done.returncode == 0, done
    assert system.process_of("blocks.server") != before
    now = (system.home / "prefect" / "server.json").read_text()
    assert now.partition(', "pid"')[0] == address.partition(', "pid"')[0]


def test_speed_and_time_left_are_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("tasks.speed.time.monotonic", lambda: next(clock))
    speed = Speed()
    assert speed.figures("dump", 0, 1000) == {"done": "0", "total": "1000"}
    for second in range(1, 5):
        said = speed.figures("dump", second * 100, 1000)
    assert said == {"done": "400", "total": "1000", "rate": "100", "seconds_left": "6"}
    assert speed.figures("verify", 0, 0) == {"done": "0"}


def test_progress_that_somebody_else_has_written_breaks_nothing() -> None:
    from prefect.client.schemas.objects import Artifact

    found = run_facts.progress(Artifact(type="progress", data="half", metadata_={"done": "much", "rate": "7"}))
    assert (found.share, found.done, found.rate) == (0.0, None, 7)
