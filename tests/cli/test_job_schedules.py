"""When a job runs by itself: given, changed, paused and shown on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import DeploymentResponse

from blocks.api import prefect_api
from cli.exits import FAILED, USAGE
from tests.cli.conftest import Dbackup


@pytest.fixture(scope="module")
def saved(dbackup: Dbackup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "shop.db").touch()
    dbackup.succeeds("source", "add", "plan-shop", folder / "shop.db")
    dbackup.succeeds("storage", "add", "plan-near", folder / "near")
    yield
    dbackup.succeeds("source", "remove", "plan-shop")
    dbackup.succeeds("storage", "remove", "plan-near")


@pytest.fixture
def job(dbackup: Dbackup, saved: None) -> Iterator[str]:
    dbackup.succeeds(
        "job", "create", "planned", "--source", "plan-shop", "--to", "plan-near",
        "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--keep", "last=7",
    )  # fmt: skip
    yield "planned"
    dbackup("job", "delete", "planned")


def deployment(name: str) -> DeploymentResponse:
    with prefect_api(), get_client(sync_client=True) as client:
        return client.read_deployment_by_name(f"backup/{name}")


def test_a_schedule_is_told_with_its_next_five_times(dbackup: Dbackup, job: str) -> None:
    shown = dbackup.succeeds("job", "show", job)
    assert (shown["schedule"]["cron"], shown["schedule"]["timezone"]) == ("30 2 * * *", "Europe/Berlin")
    times = [datetime.fromisoformat(at).astimezone(ZoneInfo("Europe/Berlin")) for at in shown["schedule"]["next_times"]]
    assert [f"{at:%H:%M}" for at in times] == ["02:30"] * 5
    assert len({at.date() for at in times}) == 5
    text = dbackup("job", "show", job).out
    assert "30 2 * * * (Europe/Berlin)" in text
    assert text.count("02:30") == 5
    assert "none yet" in text, "it has not run"
    assert f"{times[0]:%Y-%m-%d %H:%M}" in dbackup("job", "list").out


def test_the_schedule_stands_on_the_deployment_and_nowhere_else(dbackup: Dbackup, job: str) -> None:
    found = deployment(job)
    assert [one.schedule.model_dump(include={"cron", "timezone"}) for one in found.schedules] == [
        {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    ]
    assert "30 2" not in str(found.parameters)


def test_a_paused_job_plans_nothing_until_it_is_resumed(dbackup: Dbackup, job: str) -> None:
    dbackup.succeeds("job", "pause", job)
    paused = dbackup.succeeds("job", "show", job)["schedule"]
    assert (paused["paused"], paused["next_times"]) == (True, [])
    assert "paused" in dbackup("job", "list").out
    dbackup.succeeds("job", "edit", job, "--cron", "0 4 * * *")
    assert deployment(job).paused, "what is edited stays paused"
    resumed = dbackup.succeeds("job", "resume", job)["schedule"]
    assert not resumed["paused"]
    assert len(resumed["next_times"]) == 5


def test_an_edit_changes_what_it_names_and_keeps_the_rest(dbackup: Dbackup, job: str) -> None:
    before = deployment(job)
    dbackup.succeeds("job", "edit", job, "--retries", 7, "--exclude", "tmp*", "--overdue-after", 26)
    after, shown = deployment(job), dbackup.succeeds("job", "show", job)
    assert (shown["retries"], shown["exclude"], shown["overdue_after"]) == (7, ["tmp*"], 26)
    assert (shown["keep"], shown["timezone"], shown["source"]) == ("last=7", "Europe/Berlin", "plan-shop")
    assert after.id == before.id, "its runs are still its own"
    assert [one.id for one in after.schedules] == [one.id for one in before.schedules]
    assert (after.tags, after.global_concurrency_limit) == (before.tags, before.global_concurrency_limit)
    dbackup.succeeds("job", "edit", job, "--exclude", "", "--overdue-after", 0)
    shown = dbackup.succeeds("job", "show", job)
    assert (shown["exclude"], shown["overdue_after"], shown["retries"]) == ([], None, 7)


def test_a_job_that_moves_to_another_zone_takes_its_schedule_along(dbackup: Dbackup, job: str) -> None:
    dbackup.succeeds("job", "edit", job, "--timezone", "America/New_York")
    shown = dbackup.succeeds("job", "show", job)
    assert (shown["timezone"], shown["schedule"]["timezone"]) == ("America/New_York", "America/New_York")


def test_a_schedule_can_be_taken_away(dbackup: Dbackup, job: str) -> None:
    dbackup.succeeds("job", "edit", job, "--cron", "")
    assert dbackup.succeeds("job", "show", job)["schedule"] is None
    for command in ("pause", "resume"):
        answer = dbackup("job", command, job)
        assert answer.code == FAILED
        assert "has no schedule" in answer.err


def test_the_last_run_is_told_with_its_result(dbackup: Dbackup, job: str, shop: Path) -> None:
    dbackup.succeeds("source", "add", "plan-full", shop)
    dbackup.succeeds("job", "edit", job, "--source", "plan-full")
    try:
        dbackup.succeeds("job", "run", job)
        assert dbackup.succeeds("job", "show", job)["last_run"]["state"] == "SUCCESS"
        assert "✓ SUCCESS" in dbackup("job", "list").out
        refused = dbackup("source", "remove", "plan-full")
        assert f"needed by the jobs: {job}" in refused.err
    finally:
        dbackup.succeeds("job", "delete", job)
        dbackup.succeeds("source", "remove", "plan-full")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--cron", "61 * * * *"), USAGE, "--cron: the schedule '61 * * * *' cannot be used"),
        (("--cron", "0 3 30 2 *"), USAGE, "it never comes"),
        (("--cron", "0 0 3 * * *"), USAGE, "it has not five fields"),
        (("--timezone", "Europe/Mars"), USAGE, "--timezone cannot be used"),
        (("--keep", "nightly=7"), USAGE, "no rule 'nightly=7'"),
        (("--source", "nobody"), USAGE, "no source named nobody"),
        (("--to", "nowhere"), USAGE, "no storage named nowhere"),
        (("--profile", "none"), USAGE, "no profile named none"),
        ((), USAGE, "nothing is to be changed"),
    ],
)
def test_a_wrong_edit_is_refused_with_a_sentence_and_changes_nothing(
    dbackup: Dbackup, job: str, options: tuple[str, ...], code: int, words: str
) -> None:
    before = dbackup.succeeds("job", "show", job)
    answer = dbackup("job", "edit", job, *options)
    assert (answer.code, words in answer.err, "→" in answer.err) == (code, True, True), answer.err
    assert dbackup.succeeds("job", "show", job) == before


@pytest.mark.parametrize(("cron", "zone"), [("61 * * * *", "UTC"), ("0 3 * * *", "Mars")])
def test_a_job_with_a_wrong_schedule_is_not_made(dbackup: Dbackup, saved: None, cron: str, zone: str) -> None:
    answer = dbackup(
        "job", "create", "never", "--source", "plan-shop", "--to", "plan-near", "--cron", cron, "--timezone", zone
    )
    assert answer.code == USAGE
    assert "no job named never" in dbackup("job", "show", "never").err


@pytest.mark.parametrize("command", ["pause", "resume", "edit"])
def test_a_job_that_does_not_exist_is_told_by_the_names_of_those_that_do(
    dbackup: Dbackup, job: str, command: str
) -> None:
    answer = dbackup("job", command, "plannde", *(("--retries", 1) if command == "edit" else ()))
    assert answer.code == FAILED
    assert f"saved: {job}" in answer.err
