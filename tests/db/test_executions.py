"""A run is created, started once, and ends once; its final state never changes."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import pytest

from core.errors import ConfigurationError
from core.states import RunState
from db.executions import Executions
from db.session import Database

FINAL = [state for state in RunState if state.is_final]


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


@pytest.mark.parametrize("final", FINAL)
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
    start = threading.Barrier(len(FINAL))

    def end(state: RunState) -> None:
        start.wait()
        try:
            executions.finish(run, state)
        except ConfigurationError:
            return
        held.append(state)

    enders = [threading.Thread(target=end, args=(state,)) for state in FINAL]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()
    assert held == [state_of(executions, run)]


def test_runs_are_listed_newest_first_in_pages(executions: Executions) -> None:
    created = [executions.create("integrity", f"run {number}") for number in range(7)]
    listed = [run.execution_id for offset in (0, 3, 6) for run in executions.recent(3, offset=offset)]
    assert listed == created[::-1]
