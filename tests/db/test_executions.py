"""A run is created, started once, and ends once; what others took for a crash, the run itself may correct."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import update

from core.errors import ConfigurationError
from core.runs import Run
from core.states import RunState
from db.executions import Execution, Executions, WantedRuns
from db.models import ExecutionRow
from db.session import Database

FINAL = [state for state in RunState if state.is_final]
SAID = [state for state in FINAL if state is not RunState.CRASHED]  # by the run itself


@pytest.fixture
def executions(database: Database) -> Executions:
    return Executions(database)


def state_of(executions: Executions, run: str) -> RunState:
    execution = executions.get(run)
    assert execution is not None
    return execution.state


def test_a_run_goes_from_pending_over_running_to_its_end(executions: Executions) -> None:
    run = executions.create("backup", "nightly shop", flow_run_id="f" * 36)
    created = executions.get(run)
    assert created is not None
    assert (created.kind, created.job_name, created.flow_run_id) == ("backup", "nightly shop", "f" * 36)
    assert (created.state, created.started_at, created.finished_at) == (RunState.PENDING, None, None)
    executions.start(run)
    assert state_of(executions, run) is RunState.RUNNING
    executions.finish(run, RunState.PARTIAL, summary="1 of 2", error="attic: full", report='{"a": 1}')
    ended = executions.get(run)
    assert ended is not None
    assert (ended.state, ended.summary, ended.error, ended.report) == (
        RunState.PARTIAL,
        "1 of 2",
        "attic: full",
        '{"a": 1}',
    )
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert created.created_at <= ended.started_at <= ended.finished_at
    assert ended.finished_at.utcoffset() == timedelta(0)
    assert ended.finished_at.tzinfo is UTC


def test_a_run_that_ended_unrecorded_is_noted_once_and_begins_all_the_same_if_it_lives(executions: Executions) -> None:
    flow_run, moment = "a" * 36, datetime(2026, 11, 24, tzinfo=UTC)
    for state in (RunState.CANCELLED, RunState.CRASHED):
        executions.note_ended(
            Execution(
                flow_run, "backup", "shop", "", "", flow_run, state, moment, None, moment, "", "it never began", None
            )
        )
    assert [(run.state, run.error) for run in executions.recent()] == [(RunState.CANCELLED, "it never began")]
    run = executions.create("backup", "shop", flow_run_id=flow_run)
    assert [one.execution_id for one in executions.recent()] == [run]


def test_a_run_with_nothing_to_tell_is_forgotten_but_never_how_one_ended(executions: Executions) -> None:
    quiet, ended = (executions.create("overdue", "every job") for _ in range(2))
    executions.finish(ended, RunState.FAILED)
    for run in (quiet, ended):
        executions.discard(run)
    assert [one.execution_id for one in executions.recent()] == [ended]


@pytest.mark.parametrize("final", SAID)
def test_a_final_state_cannot_be_left(executions: Executions, final: RunState) -> None:
    run = executions.create("backup", "shop")
    executions.start(run)
    executions.finish(run, final, summary="the first")
    with pytest.raises(ConfigurationError):
        executions.start(run)
    for other in FINAL:
        with pytest.raises(ConfigurationError):
            executions.finish(run, other, summary="the second")
    ended = executions.get(run)
    assert ended is not None
    assert (ended.state, ended.summary) == (final, "the first")


@pytest.mark.parametrize("said", SAID)
def test_a_run_that_was_taken_for_dead_has_the_last_word(executions: Executions, said: RunState) -> None:
    run = executions.create("backup", "shop")
    executions.finish(run, RunState.CRASHED, error="its process ended without a word")
    with pytest.raises(ConfigurationError):
        executions.finish(run, RunState.CRASHED)
    executions.finish(run, said, summary="it lived")
    ended = executions.get(run)
    assert ended is not None
    assert (ended.state, ended.summary, ended.error) == (said, "it lived", "")


def test_a_run_is_started_once(executions: Executions) -> None:
    run = executions.create("backup", "shop")
    executions.start(run)
    with pytest.raises(ConfigurationError):
        executions.start(run)


def test_a_run_may_end_before_it_starts(executions: Executions) -> None:
    run = executions.create("restore", "shop")
    executions.finish(run, RunState.CANCELLED)
    assert state_of(executions, run) is RunState.CANCELLED


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.RUNNING])
def test_what_is_no_end_is_refused_as_one(executions: Executions, state: RunState) -> None:
    run = executions.create("backup", "shop")
    with pytest.raises(ValueError, match=state):
        executions.finish(run, state)


def test_an_unknown_run_is_said_to_be_one(executions: Executions) -> None:
    assert executions.get("no such run") is None
    with pytest.raises(ConfigurationError) as failure:
        executions.start("no such run")
    assert failure.value.hint


def test_of_two_that_end_a_run_exactly_one_holds(executions: Executions) -> None:
    run = executions.create("backup", "shop")
    held: list[RunState] = []
    start = threading.Barrier(len(SAID))

    def end(state: RunState) -> None:
        start.wait()
        try:
            executions.finish(run, state)
        except ConfigurationError:
            return
        held.append(state)

    enders = [threading.Thread(target=end, args=(state,)) for state in SAID]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()
    assert held == [state_of(executions, run)]


def test_runs_are_listed_newest_first_in_pages(executions: Executions) -> None:
    created = [executions.create("integrity", f"run {number}") for number in range(7)]
    listed = [run.execution_id for offset in (0, 3, 6) for run in executions.recent(3, offset=offset)]
    assert listed == created[::-1]


def ended(executions: Executions, kind: str, job: str, state: RunState) -> str:
    run = executions.create(kind, job)
    executions.start(run)
    executions.finish(run, state)
    return run


def test_runs_are_searched_by_kind_job_and_state_newest_first_and_in_pages(executions: Executions) -> None:
    first = ended(executions, "backup", "shop", RunState.SUCCESS)
    ended(executions, "restore", "shop", RunState.SUCCESS)
    ended(executions, "backup", "billing", RunState.SUCCESS)
    failed = ended(executions, "backup", "shop", RunState.FAILED)
    wanted = WantedRuns(kind="backup", job="shop")
    assert [one.execution_id for one in executions.search(wanted, limit=9)] == [failed, first]
    assert executions.count(wanted) == 2
    assert [one.execution_id for one in executions.search(wanted, limit=1, offset=1)] == [first]
    assert executions.count(WantedRuns(states=(RunState.FAILED, RunState.PARTIAL))) == 1
    assert executions.count(WantedRuns(since=datetime.now(UTC) + timedelta(minutes=1))) == 0


def test_the_newest_run_of_each_job_is_found_also_of_those_in_one_state(executions: Executions) -> None:
    good = ended(executions, "backup", "shop", RunState.SUCCESS)
    bad = ended(executions, "backup", "shop", RunState.FAILED)
    ended(executions, "restore", "shop", RunState.SUCCESS)
    other = ended(executions, "backup", "billing", RunState.PARTIAL)
    newest = executions.newest_of_each_job("backup")
    assert {job: one.execution_id for job, one in newest.items()} == {"shop": bad, "billing": other}
    successful = executions.newest_of_each_job("backup", state=RunState.SUCCESS)
    assert {job: one.execution_id for job, one in successful.items()} == {"shop": good}


MINE = frozenset({"shop", "wiki"})
RUNS = [
    ("backup", "shop", "", True),
    ("backup", "", "", False),
    ("backup", "crm", "", False),
    ("restore", "shop", "wiki", True),
    ("restore", "shop", "crm", False),
    ("restore", "crm", "shop", False),
    ("restore", "shop", "", False),
    ("restore", "", "shop", False),
]


def test_the_database_limits_runs_to_sources_by_the_rule_that_a_run_has(executions: Executions) -> None:
    seen = {executions.create(kind, "nightly", source=source, target=to): mine for kind, source, to, mine in RUNS}
    mine = WantedRuns(within=MINE | {""})
    found = executions.search(mine, limit=99)
    assert {one.execution_id for one in found} == {run for run, is_mine in seen.items() if is_mine}
    assert executions.count(mine) == len(found)
    assert executions.count(WantedRuns(within=frozenset())) == 0
    for one in executions.search(WantedRuns(), limit=99):
        run = Run(one.execution_id, one.kind, one.job_name, one.state, source=one.source, target=one.target)
        assert mine.fits(run) is seen[one.execution_id]
        assert run.is_within(MINE) is seen[one.execution_id]


def test_runs_are_found_by_the_source_that_they_read_or_write(executions: Executions) -> None:
    for kind, source, target, _ in RUNS:
        executions.create(kind, "nightly", source=source, target=target)
    found = executions.search(WantedRuns(source="crm"), limit=99)
    assert {(one.kind, one.source, one.target) for one in found} == {
        ("backup", "crm", ""),
        ("restore", "shop", "crm"),
        ("restore", "crm", "shop"),
    }
    assert executions.count(WantedRuns(source="crm", within=MINE)) == 0


def test_the_newest_run_of_a_job_is_the_newest_of_those_that_one_may_see(executions: Executions) -> None:
    mine = executions.create("backup", "nightly", source="shop")
    executions.create("backup", "nightly", source="crm")
    newest = executions.newest_of_each_job("backup", within=MINE)
    assert {job: one.execution_id for job, one in newest.items()} == {"nightly": mine}


def test_the_beginning_of_an_id_is_looked_for_among_the_runs_that_one_may_see(executions: Executions) -> None:
    mine, theirs = "abcd" + "1" * 32, "abcd" + "2" * 32
    executions.create("backup", "nightly", flow_run_id=mine, source="shop")
    executions.create("backup", "nightly", flow_run_id=theirs, source="crm")
    assert [one.flow_run_id for one in executions.starting_with("abcd", within=MINE)] == [mine]
    assert executions.starting_with(theirs, within=MINE) == []
    assert len(executions.starting_with("abcd", within=None)) == 2


def test_a_run_may_find_out_only_while_it_runs_whose_it_is(executions: Executions) -> None:
    run = executions.create("restore", "latest")
    executions.start(run)
    executions.belongs(run, job_name="shop", source="shop-prod")
    executions.finish(run, RunState.SUCCESS)
    assert list(executions.newest_of_each_job("restore")) == ["shop"]


def test_runs_are_counted_by_day_in_utc(executions: Executions, database: Database) -> None:
    moments = ["2026-11-22 23:59:59", "2026-11-23 00:00:00", "2026-11-23 12:00:00", "2026-11-20 12:00:00"]
    for moment in moments:
        run = ended(executions, "backup", "shop", RunState.SUCCESS)
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        with database.session() as session:
            session.execute(update(ExecutionRow).where(ExecutionRow.execution_id == run).values(created_at=at))
    assert executions.by_day(datetime(2026, 11, 22, tzinfo=UTC)) == {
        (date(2026, 11, 22), RunState.SUCCESS): 1,
        (date(2026, 11, 23), RunState.SUCCESS): 2,
    }
