"""The pages of what is set up: what a reader finds there, and that a form which is saved unchanged changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from actions import jobs, runs, saved
from actions.door import LOCAL_ADMINISTRATOR as ME
from core.errors import DBackupError
from core.jobs import JobSpec
from core.permissions import Permission
from db.executions import WantedRuns

READING = [one.value for one in Permission if one.is_reading]
EVERYTHING = [one.value for one in Permission]
RICH = {
    "name": "page-job",
    "source": "page-shop",
    "destinations": ["page-near", "page-far"],
    "databases": ["shop"],
    "schemas": ["public"],
    "exclude_tables": ["log_*"],
    "compression": "gzip:9",
    "exact_rows": 5,
    "retries": 1,
    "spool": "memory",
    "keep": "daily=7,weekly=4",
    "keep_at": {"page-far": "last=2,within=30d,min_keep=1"},
    "timezone": "Europe/Berlin",
    "catch_up": False,
    "notify": ["page-ops:failure,overdue"],
    "overdue_after": 26,
}


@pytest.fixture(scope="module")
def job(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A job with everything chosen."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "shop.db").touch()
    saved.add_source(ME, "page-shop", f"sqlite://{folder}/shop.db")
    for name in ("page-near", "page-far"):
        saved.add_storage(ME, name, f"file://{folder}/{name}")
    saved.add_channel(ME, "page-ops", "https://discord.com/api/webhooks/1/token")
    jobs.create(ME, JobSpec.model_validate(RICH), "*/7 3 * * 1-5")
    yield "page-job"
    jobs.delete(ME, "page-job")
    saved.remove_source(ME, "page-shop")
    saved.remove_channel(ME, "page-ops")
    for name in ("page-near", "page-far"):
        saved.remove_storage(ME, name)


def _script(path: str, permissions: list[str]) -> None:
    from unittest import mock

    from actions.door import Identity
    from core.permissions import Permission
    from dashboard import visitor
    from dashboard.views import SECTIONS

    who = Identity("somebody", frozenset(map(Permission, permissions)))
    page = next(one for pages in SECTIONS.values() for one in pages if one.path == path)
    with mock.patch.object(visitor, "required", lambda **_: who):
        page.draw(who)


def opened(path: str, permissions: list[str], **parameters: str) -> AppTest:
    page = AppTest.from_function(_script, args=(path, permissions), default_timeout=60)
    for name, value in parameters.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


@pytest.mark.parametrize(
    ("path", "name", "harmless"),
    [
        ("sources", "page-shop", ["Test"]),
        ("storage", "page-near", ["Test"]),
        ("channels", "page-ops", []),
        ("jobs", "page-job", []),
    ],
)
def test_whoever_may_only_read_finds_no_button_that_changes_anything(
    job: str, path: str, name: str, harmless: list[str]
) -> None:
    assert [one.label for one in opened(path, READING, name=name).button] == harmless
    changing = {one.label for one in opened(path, EVERYTHING, name=name).button}
    assert {"Edit", "Remove" if path != "jobs" else "Delete"} <= changing


def test_whoever_may_only_read_does_not_get_the_form_of_a_job(job: str) -> None:
    page = opened("jobs", READING, form="edit", name=job)
    assert [one.value for one in page.title] == ["Jobs"]


def test_a_job_that_is_saved_unchanged_is_the_same_job(job: str) -> None:
    before, schedule = jobs.get(ME, job), jobs.timetable(ME, job)
    page = opened("jobs", EVERYTHING, form="edit", name=job)
    next(one for one in page.button if one.label == "Save").click().run()
    assert not page.exception
    assert "The job page-job is saved" in page.success[0].value.replace("\\", "")
    assert jobs.get(ME, job) == before
    assert jobs.timetable(ME, job) == schedule


def test_half_a_rule_is_said_to_be_wrong_and_nothing_is_saved(job: str) -> None:
    before = jobs.get(ME, job)
    page = opened("jobs", EVERYTHING, form="edit", name=job)
    page.text_input(key="job-keep-page-far-within").set_value("30").run()
    assert any("is not a span of time" in one.value for one in page.markdown)
    assert [one for one in page.button if one.label == "Save"] == []
    assert jobs.get(ME, job) == before


def test_a_clone_does_the_same_and_starts_paused(job: str) -> None:
    jobs.clone(ME, job, "page-copy")
    try:
        copy, times = jobs.get(ME, "page-copy"), jobs.timetable(ME, "page-copy")
        assert copy.model_copy(update={"name": job}) == jobs.get(ME, job)
        assert times is not None
        assert (times.cron, times.timezone, times.paused) == ("*/7 3 * * 1-5", "Europe/Berlin", True)
    finally:
        jobs.delete(ME, "page-copy")


def test_a_run_that_failed_is_found_by_its_link_with_its_reason(job: str) -> None:
    wish = {"name": "page-fails", "source": "page-shop", "destinations": ["page-near"], "databases": ["nothing"]}
    jobs.create(ME, JobSpec.model_validate(wish))
    try:
        with pytest.raises(DBackupError):
            jobs.run(ME, "page-fails")
        failed = runs.ended(ME, WantedRuns(job="page-fails")).runs[0]
        page = opened("runs", READING, name=failed.run_id)
    finally:
        jobs.delete(ME, "page-fails")
    assert page.metric[0].value == "✗ FAILED"
    assert page.error[0].value.replace("\\", "").startswith(failed.error.partition("\n")[0])
    assert [one.label for one in page.button] == ["All runs"]
