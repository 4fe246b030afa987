"""What Prefect's page of a run shows beside its steps, and that it can neither fail a run nor hold it up."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from blocks.api import prefect_api
from core.errors import RunFailed
from core.jobs import Address, IntegritySpec, RestoreSpec
from core.states import RunState
from flows.backup import backup
from flows.integrity import integrity
from flows.restore import restore
from services.records import executions
from tasks.artifacts import DUMPED, Gauge
from tests.flows.shop import job


def page() -> dict[str, Any]:
    """The artifacts of the last run, by their type."""
    run = executions().recent(1)[0].flow_run_id
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))  # type: ignore[list-item]
    with prefect_api(), get_client(sync_client=True) as client:
        return {str(one.type): one for one in client.read_artifacts(artifact_filter=wanted)}


def test_a_run_shows_how_far_it_is_what_is_proven_where_and_where_its_manifest_lies(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        backup(job(shop, tmp_path / "b", "file:///proc/nothing", name="nightly"))
    report, shown = failure.value.report, page()
    assert (shown["progress"].data, shown["progress"].description) == (100.0, report.summary)
    for fact in (str(tmp_path / "b"), "read back", "not complete", "the folder /proc/nothing does not exist"):
        assert fact in shown["table"].data, fact
    assert f"`{report.folder}/backup.meta.json`" in shown["markdown"].data
    assert f"dbackup show {report.backup_id}" in shown["markdown"].data


def test_a_restore_shows_what_came_back_and_a_check_how_each_backup_was_found(shop: Path, tmp_path: Path) -> None:
    good, bad = (backup(job(shop, tmp_path / "b", name=name)) for name in ("good", "bad"))
    (tmp_path / "b" / bad.folder / bad.files[0].name).write_bytes(b"something else")
    spec = {"storage": f"file://{tmp_path}/b", "target": f"sqlite://{tmp_path}/new.db"}
    restore(RestoreSpec.model_validate({**spec, "backup": good.backup_id}))
    (row,) = json.loads(page()["table"].data)
    assert (row["Now"], row["Rows"]) == (f"✓ {tmp_path}/new.db", "5,000")
    assert row["Compared with the manifest"] == "yes"
    with pytest.raises(RunFailed):
        restore(RestoreSpec.model_validate({**spec, "backup": bad.backup_id, "overwrite": True}))
    (row,) = json.loads(page()["table"].data)
    assert row["Now"] == "✗ not restored"
    assert row["Notes"]
    with pytest.raises(RunFailed) as failure:
        integrity(IntegritySpec(storages=(Address(f"file://{tmp_path}/b"),)))
    shown = page()["table"]
    assert shown.description == failure.value.report.summary
    rows = json.loads(shown.data)
    assert [(row["Backup"], row["Outcome"]) for row in rows] == [
        (bad.backup_id, "✗ failed"),
        (good.backup_id, "✓ passed"),
    ]
    assert rows[0]["Why"]


def test_a_page_that_cannot_be_written_changes_nothing(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    for name in ("create_progress", "table"):
        with monkeypatch.context() as patch:
            patch.setattr(f"tasks.artifacts.{name}", broken)
            assert backup(job(shop, tmp_path / "b")).state is RunState.SUCCESS
            assert integrity(IntegritySpec(storages=(Address(f"file://{tmp_path}/b"),))).state is RunState.SUCCESS


def test_a_page_that_takes_for_ever_is_not_waited_for(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr("tasks.artifacts.create_progress", lambda *_, **__: let_go.wait(60))
    monkeypatch.setattr("tasks.artifacts.PATIENCE", 0.1)
    try:
        assert backup(job(shop, tmp_path / "b")).state is RunState.SUCCESS
        assert not let_go.is_set()
    finally:
        let_go.set()


def test_the_percentage_never_falls_and_is_whole_only_at_the_end() -> None:
    gauge, seen = Gauge(expected=100), list[float]()
    gauge.started("dump a", 100)
    for _ in range(30):  # more than was expected
        gauge.advanced("dump a", 10)
        seen.append(gauge.read()[0])
    for place in ("near", "far"):  # the second is only known when the first is done
        gauge.started(f"verify {place}", 50)
        gauge.advanced(f"verify {place}", 50)
        seen.append(gauge.read()[0])
    assert seen == sorted(seen)
    assert seen[9] == DUMPED
    assert seen[-1] < 100


def test_a_dump_of_unknown_size_shows_its_bytes() -> None:
    gauge = Gauge(expected=0)
    gauge.advanced("dump a", 5_000_000)
    assert gauge.read() == (0.0, "5.0 MB dumped")
