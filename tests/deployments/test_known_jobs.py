"""Whoever shows many jobs again and again remembers them, and shows each change all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConnectionError
from core.jobs import Address, JobSpec
from deployments import known_jobs
from deployments.jobs import Jobs, SavedJob
from deployments.known_jobs import MANY, MOST_CHANGED, KnownJobs
from services.records import job_changes
from tests.waiting import until


class Prefect:
    """The jobs as Prefect has them, and how often it was asked for all and for single ones."""

    def __init__(self, number: int) -> None:
        self.jobs = {f"job-{one}": saved(f"job-{one}") for one in range(number)}
        self.everything, self.single = 0, list[str]()

    def every_saved(self, _client: object) -> list[SavedJob]:
        self.everything += 1
        return list(self.jobs.values())

    def saved(self, _client: object, name: str) -> SavedJob | None:
        self.single.append(name)
        return self.jobs.get(name)


def saved(name: str, source: str = "shop") -> SavedJob:
    spec = JobSpec(source=Address(source), destinations=(Address("nas"),), name=name)
    return SavedJob(name, spec, datetime.now(UTC), (), paused=False)


@contextmanager
def _client() -> Iterator[object]:
    yield object()


@pytest.fixture
def prefect(home: Path, monkeypatch: pytest.MonkeyPatch) -> Prefect:
    """Many jobs."""
    made = Prefect(MANY)
    monkeypatch.setattr(known_jobs.jobs, "every_saved", made.every_saved)
    monkeypatch.setattr(known_jobs.jobs, "saved", made.saved)
    monkeypatch.setattr(known_jobs.jobs, "everything", lambda: Jobs.of(made.every_saved(None)))
    monkeypatch.setattr(known_jobs, "prefect_client", _client)
    monkeypatch.setattr(known_jobs, "answering", object)
    monkeypatch.setattr(known_jobs, "SHORTEST", 3600.0)  # what earlier tests have started reads nothing of this one's
    return made


@pytest.fixture
def known(prefect: Prefect) -> KnownJobs:
    """What a process that remembers knows; it has read everything once."""
    found = KnownJobs()
    found.remember()
    assert len(found.everything().readable) == len(prefect.jobs)
    return found


def source_of(found: Jobs, name: str) -> str:
    return next(str(spec.source) for spec in found.readable if spec.name == name)


def test_many_jobs_are_read_once_for_all_who_look(prefect: Prefect, known: KnownJobs) -> None:
    for _ in range(5):
        assert len(known.everything().readable) == MANY
    assert (prefect.everything, prefect.single) == (1, [])


def test_a_changed_a_new_and_a_deleted_job_are_seen_at_once_and_read_alone(prefect: Prefect, known: KnownJobs) -> None:
    prefect.jobs["job-1"] = saved("job-1", "wiki")
    prefect.jobs["new"] = saved("new")
    del prefect.jobs["job-2"]
    for name in ("job-1", "new", "job-2"):
        job_changes().note(name)
    found = known.everything()
    assert source_of(found, "job-1") == "wiki"
    assert {"new"} == {spec.name for spec in found.readable} - {f"job-{one}" for one in range(MANY)}
    assert "job-2" not in {spec.name for spec in found.readable}
    assert sorted(prefect.single) == ["job-1", "job-2", "new"]
    known.everything()
    assert len(prefect.single) == 3, "a change that was seen is not looked at again"
    prefect.jobs["job-1"] = saved("job-1", "crm")
    job_changes().note("job-1")
    assert source_of(known.everything(), "job-1") == "crm", "the second change of a job"
    assert prefect.everything == 1


def test_after_many_changes_all_jobs_are_read_once(prefect: Prefect, known: KnownJobs) -> None:
    for number in range(MOST_CHANGED + 1):
        prefect.jobs[f"job-{number}"] = saved(f"job-{number}", "wiki")
        job_changes().note(f"job-{number}")
    assert source_of(known.everything(), f"job-{MOST_CHANGED}") == "wiki"
    assert (prefect.everything, prefect.single) == (2, [])


def test_few_jobs_are_read_each_time(prefect: Prefect) -> None:
    del prefect.jobs["job-0"]
    found = KnownJobs()
    found.remember()
    found.everything()
    prefect.jobs["job-1"] = saved("job-1", "wiki")  # by somebody in Prefect, who tells nobody
    assert source_of(found.everything(), "job-1") == "wiki"


def test_jobs_that_become_many_are_remembered_after_the_first_look_at_them(prefect: Prefect) -> None:
    last = prefect.jobs.pop("job-0")
    found = KnownJobs()
    found.remember()
    assert len(found.everything().readable) == MANY - 1
    prefect.jobs["job-0"] = last
    assert len(found.everything().readable) == MANY
    until(lambda: found._current() is not None, "all jobs to be remembered")
    before = prefect.everything
    for _ in range(5):
        assert len(found.everything().readable) == MANY
    assert prefect.everything == before


def test_a_process_that_does_not_keep_itself_up_to_date_remembers_nothing(prefect: Prefect) -> None:
    found = KnownJobs()
    found.everything()
    prefect.jobs["job-1"] = saved("job-1", "wiki")
    assert source_of(found.everything(), "job-1") == "wiki"


def test_what_somebody_changes_in_prefect_is_seen_when_all_are_read_anew(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_jobs, "SHORTEST", 0.05)
    found = KnownJobs()
    found.remember()
    found.everything()
    prefect.jobs["job-1"] = saved("job-1", "wiki")
    until(lambda: source_of(found.everything(), "job-1") == "wiki", "the next reading")
    assert prefect.single == [], "nobody has told of it, so no job was asked for by itself"
    monkeypatch.setattr(known_jobs, "SHORTEST", 3600.0)
    before = prefect.everything
    until(lambda: prefect.everything > before, "the last reading, after which the thread sleeps for long")


def test_whoever_asks_before_the_first_reading_is_over_waits_for_it(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    read = prefect.every_saved
    monkeypatch.setattr(known_jobs.jobs, "every_saved", lambda client: (go.wait(60), read(client))[1])
    found = KnownJobs()
    found.remember()
    waiting = threading.Thread(target=found.everything)
    waiting.start()
    assert waiting.is_alive()
    go.set()
    waiting.join(60)
    assert prefect.everything == 1


def test_a_reading_that_fails_keeps_nobody_waiting(prefect: Prefect, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_client: object) -> list[SavedJob]:
        raise ConnectionError("the Prefect API is away", hint="start it")

    monkeypatch.setattr(known_jobs.jobs, "every_saved", away)
    found = KnownJobs()
    found.remember()
    assert len(found.everything().readable) == MANY, "asked directly, it answers again"
