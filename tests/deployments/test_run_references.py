"""The beginning of a run's id means a run that one may see, and tells nothing of any other."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from actions import runs as actions
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.errors import ConfigurationError, NotFound, PermissionError
from core.permissions import Permission
from core.runs import Run
from core.states import RunState
from deployments import runs
from services.records import executions

MINE = frozenset({"shop"})
LIMITED = Identity("eve", frozenset({Permission.JOBS_READ}), {Permission.JOBS_READ: MINE})


@pytest.fixture(autouse=True)
def _nothing_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "answering", lambda: None)
    monkeypatch.setattr(runs, "at_hand", lambda: ())


@pytest.fixture
def beginning() -> str:
    """What the ids of this test begin with."""
    return uuid.uuid4().hex[:8]


def ended(beginning: str, source: str) -> str:
    """A run of a source, whose id has this beginning."""
    run = f"{beginning}{str(uuid.uuid4())[8:]}"
    record = executions().create("backup", f"nightly-{source}", flow_run_id=run, source=source)
    executions().finish(record, RunState.SUCCESS)
    return run


def refusal(reference: str) -> str:
    """What somebody who is limited is told of a run."""
    with pytest.raises(PermissionError) as refused:
        actions.show(LIMITED, reference)
    return f"{refused.value.message} {refused.value.hint}"


def test_a_beginning_means_the_one_run_that_one_may_see_however_many_others_have_it(beginning: str) -> None:
    mine, *_ = ended(beginning, "shop"), ended(beginning, "crm"), ended(beginning, "crm")
    assert actions.show(LIMITED, beginning).run.run_id == mine
    with pytest.raises(ConfigurationError, match="several runs"):
        actions.show(LOCAL_ADMINISTRATOR, beginning)


def test_a_beginning_of_other_peoples_runs_is_refused_like_one_of_no_run(beginning: str) -> None:
    nothing = refusal("00000000")
    one = ended(beginning, "crm")
    assert refusal(beginning) == nothing, "one of somebody else"
    ended(beginning, "")
    ended(beginning, "wiki")
    assert refusal(beginning) == nothing, "several of others"
    assert refusal(one) == nothing, "the whole id of one"


def test_a_beginning_of_several_runs_that_one_may_see_says_so(beginning: str) -> None:
    ended(beginning, "shop")
    ended(beginning, "shop")
    with pytest.raises(ConfigurationError, match="several runs"):
        actions.show(LIMITED, beginning)


def test_runs_at_work_are_told_apart_in_the_same_way(beginning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = [Run(f"{beginning}-{one}", "backup", one, RunState.RUNNING, source=one) for one in ("shop", "crm", "")]
    monkeypatch.setattr(runs, "at_hand", lambda: tuple(at_work))
    assert runs.find(beginning, within=MINE) == at_work[0]
    with pytest.raises(NotFound):
        runs.find(f"{beginning}-crm", within=MINE)
