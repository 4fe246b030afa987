"""What was missed is made up once and never in a burst: as a decision, and on a server that was really away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.workers.process import ProcessWorker

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from core.errors import ConnectionError
from core.jobs import DEFAULT_QUEUE, Address, JobSpec
from deployments import jobs
from deployments.missed import ON_TIME, SKIPPED, Decision, LateRun, decide, settle
from deployments.worker import AWAY_SECONDS, Worker
from tests.home import end_server
from tests.waiting import until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
late_runs = st.lists(
    st.builds(LateRun, st.uuids(), st.timedeltas(timedelta(seconds=1), timedelta(days=400)).map(lambda ago: NOW - ago)),
    unique_by=lambda run: run.run_id,
    max_size=30,
)
missed_times = st.none() | st.timedeltas(timedelta(minutes=3), timedelta(days=400)).map(lambda ago: NOW - ago)


@given(late_runs, missed_times)
def test_of_all_that_was_missed_one_run_is_left_and_it_is_the_newest(
    late: list[LateRun], missed: datetime | None
) -> None:
    decision = decide(late, missed, catch_up=True, now=NOW)
    assert (decision.kept is not None) + (decision.made_up is not None) == (1 if late or missed else 0)
    assert {*decision.dropped, *([decision.kept] if decision.kept else [])} == set(late), "each is decided about"
    if late:
        assert decision.kept
        assert decision.kept.at == max(run.at for run in late)
    again = decide([decision.kept] if decision.kept else [], None, catch_up=True, now=NOW)
    assert again == Decision(decision.kept), "asked again, it changes nothing"


@given(late_runs, missed_times)
def test_a_job_that_does_not_catch_up_runs_only_what_is_on_time(late: list[LateRun], missed: datetime | None) -> None:
    decision = decide(late, missed, catch_up=False, now=NOW)
    assert decision.made_up is None
    assert decision.kept is None or NOW - decision.kept.at <= ON_TIME
    assert {*decision.dropped, *([decision.kept] if decision.kept else [])} == set(late)
    assert all(run in decision.dropped for run in late if NOW - run.at > ON_TIME)


@pytest.fixture
def hourly(home: Path, tmp_path: Path) -> Iterator[str]:
    """A job that is next due in half an hour, of which Prefect has planned three runs ahead."""
    (tmp_path / "shop.db").touch()
    saved.add_source(LOCAL_ADMINISTRATOR, "late-shop", f"sqlite://{tmp_path}/shop.db")
    saved.add_storage(LOCAL_ADMINISTRATOR, "late-near", f"file://{tmp_path}/near")
    spec = JobSpec(name="late", source=Address("late-shop"), destinations=(Address("late-near"),))
    jobs.create(spec, f"{(datetime.now(UTC).minute + 30) % 60} * * * *")
    until(lambda: len(runs("late")) == 3, "Prefect plans the runs")
    yield "late"
    jobs.delete("late")
    saved.remove_source(LOCAL_ADMINISTRATOR, "late-shop")
    saved.remove_storage(LOCAL_ADMINISTRATOR, "late-near")


def runs(name: str) -> list[FlowRun]:
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    with prefect_api(), get_client(sync_client=True) as client:
        return client.read_flow_runs(deployment_filter=wanted)


def waiting(name: str) -> list[FlowRun]:
    """What a worker would begin at once."""
    now = datetime.now(UTC)
    return [run for run in runs(name) if run.state and run.state.is_scheduled() and run.expected_start_time <= now]


def away(home: Path, hours: int, *more: str) -> None:
    """Stop the server, and let what it knows have happened hours earlier: as if it had been away so long."""
    end_server(home)
    earlier = "{0} = strftime('%Y-%m-%d %H:%M:%f', {0}, '-" + str(hours) + " hours') || '000'"
    planned, rule = (", ".join(map(earlier.format, names)) for names in (
        ("expected_start_time", "next_scheduled_start_time"), ("created", "updated"),
    ))  # fmt: skip
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection, connection:
        for statement in (f"UPDATE flow_run SET {planned} WHERE state_type = 'SCHEDULED'",
                          f"UPDATE deployment_schedule SET {rule}", *more):  # fmt: skip
            connection.execute(statement)


def test_after_an_outage_one_run_is_left_of_all_that_are_late(home: Path, hourly: str) -> None:
    away(home, 3)
    assert len(waiting(hourly)) == 3, "all of them would start now, one after the other"
    (settled,) = settle()
    assert (settled.name, len(settled.decision.dropped)) == (hourly, 2)
    assert settled.decision.kept
    assert [run.id for run in waiting(hourly)] == [settled.decision.kept.run_id]
    assert sum(run.state_name == SKIPPED for run in runs(hourly)) == 2
    assert settle()[0].decision == Decision(settled.decision.kept), "asked again, it changes nothing"
    jobs.edit(jobs.get(hourly).model_copy(update={"catch_up": False}))
    settle()
    assert waiting(hourly) == [], "a job that does not want to catch up loses even that"


def test_a_run_that_nobody_could_plan_is_made_up_once(home: Path, hourly: str) -> None:
    away(home, 3, "DELETE FROM flow_run")
    (settled,) = settle()
    assert settled.decision.made_up
    assert timedelta() < datetime.now(UTC) - settled.decision.made_up < timedelta(hours=1)
    (made,) = waiting(hourly)
    assert made.state
    assert "makes up the run of" in (made.state.message or "")
    assert settle() == ()
    assert [run.id for run in waiting(hourly)] == [made.id]


def test_a_worker_that_could_take_nothing_for_a_while_settles_what_was_missed_before_it_takes_again(
    home: Path, hourly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    async def take(_: ProcessWorker) -> list[FlowRun]:
        taken.append(await asyncio.to_thread(lambda: len(waiting(hourly))))
        return []

    now = [0.0]
    monkeypatch.setattr(ProcessWorker, "get_and_submit_flow_runs", take)

    def look(seconds: float) -> None:
        now[0] += seconds
        with prefect_api() as api, temporary_settings({PREFECT_API_URL: api.url, PREFECT_API_AUTH_STRING: api.auth}):
            asyncio.run(worker.get_and_submit_flow_runs())

    worker = Worker("here", [DEFAULT_QUEUE], clock=lambda: now[0])
    look(2)
    away(home, 3)
    with monkeypatch.context() as patch:
        patch.setattr("deployments.missed.settle", refused)
        look(AWAY_SECONDS + 1)
    assert taken == [0], "nothing is taken before it is settled"
    look(2)
    look(2)
    assert taken == [0, 1, 1]
    assert sum(run.state_name == SKIPPED for run in runs(hourly)) == 2


def refused() -> None:
    raise ConnectionError("the Prefect API does not answer")


def test_a_paused_job_makes_nothing_up(home: Path, hourly: str) -> None:
    jobs.pause(hourly)
    away(home, 3)
    assert settle() == ()
    assert waiting(hourly) == []
    jobs.resume(hourly)
    assert settle() == (), "what was missed while it was paused is not missed"
