"""Is everything safe? What the first page says of a job follows from its backups, its checks and its last run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.jobs import Address, JobSpec
from core.manifest import Manifest, SourceDescription
from core.naming import backup_folder, job_slug
from core.states import RunState
from db.session import open_database
from services import overview, records
from services.backups import saved_job
from services.overview import Line, Verdict
from services.records import catalog, executions

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    database = open_database(f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setattr(records, "database", lambda: database)
    yield
    database.engine.dispose()


def spec(name: str = "shop", overdue_after: int | None = 26) -> JobSpec:
    return JobSpec(
        source=Address(f"{name}-prod"), destinations=(Address("disk"),), name=name, overdue_after=overdue_after
    )


def backed_up(hours_ago: float, name: str = "shop", missing: tuple[str, ...] = ()) -> str:
    moment, reference = NOW - timedelta(hours=hours_ago), saved_job(name)
    one = Manifest(
        backup_id=f"{moment:%Y%m%dT%H%M%SZ}-000000",
        job=reference,
        source=SourceDescription(name=f"{name}-prod", engine="sqlite", server_version="3", tool="t"),
        trigger="schedule",
        started_at=moment,
        finished_at=moment,
        files=(),
        missing=missing,
    )
    folder = backup_folder(job_slug(reference.name, reference.id), one.backup_id)
    catalog().record(one, one.to_bytes(), storage="disk", folder=folder)
    return one.backup_id


def ran(state: RunState, kind: str = "backup", name: str = "shop", error: str = "") -> None:
    run = executions().create(kind, name)
    executions().start(run)
    executions().finish(run, state, error=error)


def line(one: JobSpec | None = None) -> Line:
    [found] = overview.lines([one or spec()], NOW)
    return found


def test_a_young_backup_and_a_good_run_are_safe() -> None:
    backed_up(25)
    ran(RunState.SUCCESS)
    found = line()
    assert (found.verdict, found.reason) == (Verdict.SAFE, "")
    assert found.newest is not None
    assert not found.verdict.needs_attention


def test_a_backup_that_is_too_old_is_overdue_and_says_why() -> None:
    backed_up(27)
    ran(RunState.FAILED, error="disk: full")
    assert (line().verdict, line().reason) == (
        Verdict.OVERDUE,
        "no good backup for more than 26 hours: disk: full",
    )


def test_a_partial_backup_makes_nothing_safe() -> None:
    backed_up(27)
    backed_up(1, missing=("users",))
    assert line().verdict is Verdict.OVERDUE


def test_a_job_without_a_backup_is_not_safe() -> None:
    assert line().verdict is Verdict.NEVER
    ran(RunState.CRASHED, error="its process ended without a word")
    assert line().reason == "its process ended without a word"


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.PARTIAL, RunState.CRASHED, RunState.CANCELLED])
def test_a_last_run_without_success_needs_attention_although_the_backup_is_young(state: RunState) -> None:
    backed_up(2)
    ran(RunState.SUCCESS)
    ran(state, error="attic: refused")
    assert (line().verdict, line().reason) == (Verdict.FAILING, f"the last run is {state.value}: attic: refused")


def test_a_run_that_is_under_way_is_no_failure() -> None:
    backed_up(2)
    executions().start(executions().create("backup", "shop"))
    assert line().verdict is Verdict.SAFE


def test_a_copy_that_failed_its_newest_check_is_damaged() -> None:
    backup_id = backed_up(2)
    catalog().verified(backup_id, storage="disk", method="read back", passed=True)
    assert line().verdict is Verdict.SAFE
    assert line().checked_at is not None
    catalog().verified(backup_id, storage="disk", method="read back", passed=False, detail="chunk 7 is damaged")
    assert (line().verdict, line().reason) == (
        Verdict.DAMAGED,
        "the copy on disk failed its check: chunk 7 is damaged",
    )


def test_a_job_that_nobody_watches_is_not_called_safe() -> None:
    backed_up(2)
    assert line(spec(overdue_after=None)).verdict is Verdict.UNWATCHED


def test_the_newest_proven_restore_is_shown() -> None:
    backed_up(2)
    assert line().restored_at is None
    ran(RunState.FAILED, kind="restore")
    assert line().restored_at is None
    ran(RunState.SUCCESS, kind="restore")
    assert line().restored_at is not None


def test_what_needs_attention_comes_first() -> None:
    backed_up(1, "safe")
    backed_up(50, "late")
    specs = [spec("safe"), spec("late"), spec("never")]
    assert [one.job for one in overview.lines(specs, NOW)] == ["late", "never", "safe"]
