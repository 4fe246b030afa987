from __future__ import annotations

import pytest

from core.states import RunState


@pytest.mark.parametrize("state", RunState)
def test_a_run_that_waits_or_works_is_not_final(state: RunState) -> None:
    assert state.is_final == (state not in (RunState.PENDING, RunState.RUNNING))


@pytest.mark.parametrize("state", RunState)
def test_only_success_is_good(state: RunState) -> None:
    assert state.is_good == (state is RunState.SUCCESS)


@pytest.mark.parametrize(
    ("succeeded", "failed", "state"),
    [
        (2, 0, RunState.SUCCESS),
        (1, 1, RunState.PARTIAL),
        (0, 2, RunState.FAILED),
        (0, 0, RunState.FAILED),
    ],
)
def test_a_run_is_a_success_only_when_something_is_proven_and_nothing_failed(
    succeeded: int, failed: int, state: RunState
) -> None:
    assert RunState.of(succeeded, failed) is state
