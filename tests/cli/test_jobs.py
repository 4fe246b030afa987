"""Jobs, as a user describes them once and runs them by name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate

from blocks.api import prefect_api
from cli.exits import FAILED, PARTIAL, USAGE
from core.errors import RunFailed
from db.executions import WantedRuns
from services.records import executions
from tests.cli.conftest import Dbackup
from tests.disks import read_only
from tests.servers.webhooks import Answer, Webhooks


@pytest.fixture
def job(dbackup: Dbackup, shop: Path, tmp_path: Path) -> Iterator[str]:
    """A job with two destinations; everything saved for it is forgotten afterwards."""
    dbackup.succeeds("source", "add", "job-shop", shop)
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        dbackup.succeeds("storage", "add", f"job-{name}", tmp_path / name)
    dbackup.succeeds(
        "job", "create", "nightly", "--source", "job-shop", "--to", "job-near", "--to", "job-far",
        "--compression", "gzip:9", "--retries", 0,
    )  # fmt: skip
    yield "nightly"
    dbackup("job", "delete", "nightly")
    for kind, name in (("source", "job-shop"), ("storage", "job-near"), ("storage", "job-far")):
        dbackup.succeeds(kind, "remove", name)


def test_a_job_is_run_by_its_name_as_it_was_described(dbackup: Dbackup, job: str) -> None:
    assert dbackup.succeeds("job", "show", job)["compression"] == "gzip:9"
    report = dbackup.succeeds("job", "run", job)
    assert report["job"] == job
    assert [(copy["storage"], copy["complete"]) for copy in report["copies"]] == [("job-near", True), ("job-far", True)]
    assert {file["compression"] for file in report["files"]} == {"gzip"}
    assert dbackup.succeeds("show", f"{job}/latest")["backup_id"] == report["backup_id"]
    assert [one["name"] for one in dbackup.succeeds("job", "list")["jobs"]] == [job]


def test_what_a_destination_missed_is_healed_by_hand(dbackup: Dbackup, job: str, tmp_path: Path) -> None:
    with read_only(tmp_path / "far"):
        assert dbackup("job", "run", job).code == PARTIAL
    answer = dbackup("job", "heal", job)
    assert answer.code == 0
    assert "is now on job-far, too, copied from job-near" in answer.out
    assert "nothing is owed" in dbackup("job", "heal", job).out


def test_pruning_says_why_before_anything_goes(dbackup: Dbackup, job: str, tmp_path: Path) -> None:
    dbackup.succeeds(
        "job", "create", "strict", "--source", "job-shop", "--to", "job-near", "--to", "job-far",
        "--keep", "last=1,min_keep=1", "--keep-at", "job-far=last=2,min_keep=1",
    )  # fmt: skip
    try:
        ids = [dbackup.succeeds("backup", "job-shop", "--to", "job-near", "--to", "job-far", "--name", "strict")]
        ids += [dbackup.succeeds("backup", "job-shop", "--to", "job-near", "--to", "job-far", "--name", "strict")]
        preview = dbackup("job", "prune", "strict", "--dry-run")
        assert "last 1" in preview.out
        assert "no rule keeps it" in preview.out
        assert len(list((tmp_path / "near").rglob("backup.meta.json"))) == 2
        near, far = dbackup.succeeds("job", "prune", "strict")["destinations"]
        assert {one["backup_id"]: one["outcome"] for one in near["backups"]} == {
            ids[1]["backup_id"]: "kept",
            ids[0]["backup_id"]: "deleted",
        }
        assert {one["outcome"] for one in far["backups"]} == {"kept"}
        assert len(list((tmp_path / "near").rglob("backup.meta.json"))) == 1
        next((tmp_path / "far").rglob("backup.meta.json")).write_bytes(b"damaged")
        doubtful = dbackup("job", "prune", "strict", "--json")
        assert doubtful.code == PARTIAL, "one of two destinations could not be decided about"
        assert doubtful.json["destinations"][1]["failure"]["reason"]
    finally:
        dbackup.succeeds("job", "delete", "strict")


@pytest.fixture
def watched(dbackup: Dbackup, job: str, json_service: Webhooks) -> Iterator[str]:
    """A job that is overdue after 26 hours, and its channel, which writes to ``json_service``."""
    dbackup.succeeds("notification", "add", "job-ops", f"apprise+json://127.0.0.1:{json_service.port}/hook")
    dbackup.succeeds(
        "job", "create", "watched", "--source", "job-shop", "--to", "job-near",
        "--overdue-after", 26, "--notify", "job-ops:overdue",
    )  # fmt: skip
    yield "watched"
    dbackup.succeeds("job", "delete", "watched")
    dbackup("job", "overdue")  # forgets who was told of a job that is gone
    dbackup.succeeds("notification", "remove", "job-ops")


class Clock(datetime):
    """The hours that have passed, as whoever looks for overdue jobs sees it."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return cls.fromtimestamp(datetime.now(tz).timestamp() + cls.ahead.total_seconds(), tz)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "ahead", timedelta())
    for module in ("actions.jobs", "deployments.overdue"):
        monkeypatch.setattr(f"{module}.datetime", Clock)
    return Clock


def titles(service: Webhooks) -> list[str]:
    return [one["title"] for one in service.taken]


def test_a_job_that_has_stopped_running_is_told_once_then_daily_and_once_when_it_is_well(
    dbackup: Dbackup, watched: str, json_service: Webhooks, clock: type[Clock]
) -> None:
    new = dbackup("job", "overdue")
    assert (new.code, "none yet" in new.out, "unwatched" in new.out) == (0, True, True)  # the other job has no limit
    clock.ahead = timedelta(hours=27)
    never = dbackup("job", "overdue")
    assert (never.code, "job-ops was told" in never.err) == (FAILED, True)
    again = dbackup("job", "overdue")
    assert (again.code, "was told" in again.err) == (FAILED, False), "it is known"
    clock.ahead = timedelta(hours=51)
    assert dbackup("job", "overdue").code == FAILED
    assert titles(json_service) == ["The backup of watched is overdue: no good one yet"] * 2
    clock.ahead = timedelta()
    dbackup.succeeds("job", "run", watched)
    for _ in range(2):
        assert dbackup("job", "overdue").code == 0
    clock.ahead = timedelta(hours=27)
    dbackup("job", "overdue")
    assert titles(json_service)[2:] == [
        "The backup of watched is well again",
        "The backup of watched is overdue: no good one for 27 h 0 min",
    ]


def test_a_channel_that_could_not_be_told_is_told_by_the_next_look(
    dbackup: Dbackup, watched: str, json_service: Webhooks, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifications.PAUSES", ())
    clock.ahead = timedelta(hours=27)
    json_service.next.append(Answer(503))
    assert "job-ops was not told" in dbackup("job", "overdue").err
    assert "job-ops was told" in dbackup("job", "overdue").err


def test_a_schedule_looks_for_overdue_jobs_as_the_command_does(
    dbackup: Dbackup, watched: str, json_service: Webhooks, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments.overdue import overdue

    monkeypatch.setattr("services.notifications.PAUSES", ())
    clock.ahead = timedelta(hours=27)
    json_service.next.append(Answer(503))
    with pytest.raises(RunFailed, match="overdue: watched: job-ops"):
        overdue()
    before = looks()
    overdue()
    overdue()
    assert len(json_service.taken) == 1
    assert "was told" not in dbackup("job", "overdue").err
    assert looks() == before + 1, "one that finds what is known, and tells nobody, is not in the history"
    told, failed = dbackup.succeeds("run", "list", "--kind", "overdue")["ended"][:2]
    assert (failed["state"], told["state"]) == ("FAILED", "SUCCESS")
    assert told["summary"] == "look for overdue jobs SUCCESS: overdue: watched"
    clock.ahead = timedelta()
    overdue()
    assert executions().search(WantedRuns(kind="overdue"), limit=1)[0].summary.endswith("SUCCESS: none"), "it is news"


def looks() -> int:
    return executions().count(WantedRuns(kind="overdue"))


def test_what_a_job_needs_is_not_removed_under_it(dbackup: Dbackup, job: str) -> None:
    for kind, name in (("source", "job-shop"), ("storage", "job-far")):
        answer = dbackup(kind, "remove", name)
        assert answer.code == FAILED
        assert f"needed by the jobs: {job}" in answer.err
    assert dbackup.succeeds("job", "show", job)["source"] == "job-shop"


def test_renaming_a_job_is_refused_with_what_to_do_instead_and_that_works(
    dbackup: Dbackup, job: str, tmp_path: Path
) -> None:
    old = dbackup.succeeds("job", "run", job)
    answer = dbackup("job", "rename", job, "renamed")
    assert (answer.code, "cannot be renamed" in answer.err) == (USAGE, True)
    assert "dbackup job clone nightly renamed" in answer.err
    dbackup.succeeds("job", "clone", job, "renamed")
    new = dbackup.succeeds("job", "run", "renamed")
    dbackup.succeeds("job", "edit", "renamed", "--keep", "last=1,min_keep=1")
    dbackup.succeeds("job", "prune", "renamed")
    for report in (old, new):
        assert (tmp_path / "near" / report["folder"] / "backup.meta.json").exists(), "each has rules of its own"
    dbackup.succeeds("job", "delete", "renamed")


def test_a_deleted_job_leaves_its_backups(dbackup: Dbackup, job: str, tmp_path: Path) -> None:
    report = dbackup.succeeds("job", "run", job)
    dbackup.succeeds("job", "delete", job)
    assert dbackup("job", "run", job).code == FAILED
    assert (tmp_path / "near" / report["folder"] / "backup.meta.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nightly", "--source", "job-shop", "--to", "job-near"), FAILED, "there is a job named nightly already"),
        (("other", "--source", "nobody", "--to", "job-near"), USAGE, "no source named nobody"),
        (("other", "--source", "job-shop", "--to", "nowhere"), USAGE, "no storage named nowhere"),
        (("other", "--source", "job-shop", "--to", "job-near", "--profile", "none"), USAGE, "no profile named none"),
        (("other", "--source", "job-shop", "--to", "job-near", "--notify", "no"), USAGE, "no notification named no"),
        (("other", "--source", "job-shop", "--to", "/srv/x"), USAGE, "a job names what is saved"),
        (("Bad Name", "--source", "job-shop", "--to", "job-near"), USAGE, "cannot be the name of a job"),
        (("other", "--source", "job-shop", "--to", "job-near", "--spool", "tape"), USAGE, "--spool cannot be used"),
        (("other", "--to", "job-near"), USAGE, "--source"),
        (("other", "--source", "job-shop", "--to", "job-near", "--keep", "nightly=7"), USAGE, "no rule 'nightly=7'"),
        (("other", "--source", "job-shop", "--to", "job-near", "--keep-at", "x=last=1"), USAGE, "--keep-at"),
        (("other", "--source", "job-shop", "--to", "job-near", "--timezone", "Mars"), USAGE, "name of a time zone"),
        (("other", "--source", "job-shop", "--to", "job-near", "--notify", "ops:succes"), USAGE, "no event 'succes'"),
    ],
)
def test_a_job_that_cannot_work_is_refused_with_a_sentence(
    dbackup: Dbackup, job: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = dbackup("job", "create", *arguments)
    assert answer.code == code
    assert words in answer.err
    assert "→" in answer.err
    assert [one["name"] for one in dbackup.succeeds("job", "list")["jobs"]] == [job]


def test_a_job_that_does_not_exist_names_those_that_do(dbackup: Dbackup, job: str) -> None:
    answer = dbackup("job", "show", "nightyl")
    assert answer.code == FAILED
    assert f"saved: {job}" in answer.err


@pytest.mark.parametrize("parameters", [{"job": {"source": "job-shop", "destinations": ["job-far"], "keep": 7}}, {}])
def test_a_job_that_cannot_be_read_stands_in_the_way_of_nothing_else(
    dbackup: Dbackup, job: str, tmp_path: Path, parameters: dict[str, object]
) -> None:
    dbackup.succeeds("job", "create", "broken", "--source", "job-shop", "--to", "job-far")
    dbackup.succeeds("storage", "add", "job-spare", tmp_path / "spare")
    with prefect_api(), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("backup/broken")
        client.update_deployment(found.id, DeploymentUpdate(parameters=parameters, enforce_parameter_schema=False))
    listed = dbackup.succeeds("job", "list")
    assert [one["name"] for one in listed["jobs"]] == [job]
    assert [one["name"] for one in listed["unreadable"]] == ["broken"]
    assert "the job broken cannot be read" in dbackup("job", "list").out
    overdue = dbackup("job", "overdue", "--json")
    assert (overdue.code, [one["name"] for one in overdue.json["unreadable"]]) == (FAILED, ["broken"])
    refused = dbackup("storage", "remove", "job-far")
    assert "broken (which cannot be read)" in refused.err
    assert dbackup("storage", "remove", "job-spare").code == (0 if parameters else FAILED), "it may need anything"
    dbackup.succeeds("job", "delete", "broken")
    dbackup("storage", "remove", "job-spare")
    assert dbackup.succeeds("job", "list")["unreadable"] == []


def test_a_prune_that_could_not_delete_has_failed(dbackup: Dbackup, job: str, tmp_path: Path) -> None:
    dbackup.succeeds("job", "create", "one", "--source", "job-shop", "--to", "job-near", "--keep", "last=1,min_keep=1")
    try:
        for _ in range(2):
            dbackup.succeeds("backup", "job-shop", "--to", "job-near", "--name", "one")
        with read_only(tmp_path / "near"):
            assert dbackup("job", "prune", "one", "--dry-run").code == 0
            answer = dbackup("job", "prune", "one", "--json")
        assert answer.code == FAILED
        assert [one["outcome"] for one in answer.json["destinations"][0]["backups"]] == ["kept", "due"]
    finally:
        dbackup.succeeds("job", "delete", "one")
