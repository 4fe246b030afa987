"""Bringing the catalog up to date with the storages, as the system does by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from core.errors import RunFailed
from core.states import RunState
from core.upkeep import CatalogReport
from db.executions import Execution, WantedRuns
from flows.backup import backup
from flows.catalog_sync import catalog_sync
from services.records import executions
from tests.flows.shop import job


def recorded(kind: str) -> list[Execution]:
    return executions().search(WantedRuns(kind=kind), limit=100)


@pytest.fixture
def storages(home: Path, tmp_path: Path) -> Iterator[Path]:
    """Two saved storages, of which the second is not there any more."""
    for name in ("near", "gone"):
        saved.add_storage(LOCAL_ADMINISTRATOR, f"sync-{name}", f"file://{tmp_path}/{name}")
    shutil.rmtree(tmp_path / "gone")
    yield tmp_path
    for name in ("near", "gone"):
        saved.remove_storage(LOCAL_ADMINISTRATOR, f"sync-{name}")


def test_a_sync_that_could_not_read_a_storage_is_in_the_history_with_what_it_could_read(
    shop: Path, storages: Path
) -> None:
    backup(job(shop, storages / "near"))
    before = len(recorded("catalog-sync"))
    with pytest.raises(RunFailed, match="sync-gone"):
        catalog_sync()
    assert len(recorded("catalog-sync")) == before + 1
    run = recorded("catalog-sync")[0]
    assert (run.state, run.job_name) == (RunState.PARTIAL, "every storage")
    every = len(saved.storages(LOCAL_ADMINISTRATOR))
    assert f"on {every - 1} of {every} storages" in run.summary
    assert run.report
    report = CatalogReport.model_validate_json(run.report)
    assert [one.subject for one in report.failures] == ["sync-gone"]
    assert {one.storage: one.backups for one in report.storages}["sync-near"] == 1
