"""Whole flows with all databases of a MongoDB replica set: one object, which comes back whole or in part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.database.mongodb.dump import NOT_POINT_IN_TIME
from adapters.database.mongodb.instance import ALONE, NO_USERS, POINT_IN_TIME
from core.errors import BackupNotFound, ConfigurationError, RunFailed, TargetExists
from core.jobs import RestoreSpec
from core.manifest import Manifest
from flows.backup import backup
from flows.restore import restore
from tests.adapters.test_mongodb import with_tool
from tests.flows.shop import job
from tests.servers.mongodb import Server

BOTH = ("ledger", "shop")


@pytest.fixture
def source(replica_set: Server) -> Server:
    """A server with two databases."""
    with replica_set.client() as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(100)])
        client.ledger.entries.insert_many([{"_id": n} for n in range(10)])
    return replica_set


def wish(folder: Path, backup_id: str, target: str, **more: Any) -> RestoreSpec:
    return RestoreSpec.model_validate({"storage": f"file://{folder}", "backup": backup_id, "target": target, **more})


def test_a_backup_of_everything_is_one_object_and_comes_back_into_an_empty_deployment(
    source: Server, mongodb_that_replays: Server, tmp_path: Path
) -> None:
    taken = backup(job(source.url(), tmp_path))
    [file] = taken.files
    assert (file.name, file.database, file.holds) == ("all-databases.archive.zst", "", BOTH)
    manifest = (tmp_path / taken.folder / "backup.meta.json").read_bytes()
    assert Manifest.parse(manifest).files == taken.files
    assert json.loads(manifest)["files"][0]["contents"]["notes"] == [POINT_IN_TIME, NO_USERS]
    everything = wish(tmp_path, taken.backup_id, mongodb_that_replays.url())
    report = restore(everything)
    [came_back] = report.restored
    assert (came_back.together, came_back.compared, came_back.notes) == (BOTH, True, ())
    assert (came_back.tables, came_back.rows) == (2, 110)
    assert "2 databases came back" in report.summary
    with mongodb_that_replays.client() as client:
        assert client.shop.orders.count_documents({}) == 100
    with pytest.raises(TargetExists, match="empty deployment"):
        restore(everything)


def test_one_database_of_it_comes_back_and_the_report_says_that_it_is_not_of_one_moment(
    source: Server, tmp_path: Path
) -> None:
    taken = backup(job(source.url(), tmp_path))
    [came_back] = restore(wish(tmp_path, taken.backup_id, source.url(), database="shop", rename="shop_copy")).restored
    assert (came_back.database, came_back.restored_as, came_back.notes) == ("shop", "shop_copy", (ALONE,))
    assert (came_back.tables, came_back.rows) == (1, 100)
    for impossible, error in (
        ({"database": "shoop"}, BackupNotFound),
        ({"rename": "other"}, ConfigurationError),
    ):
        with pytest.raises(error) as refusal:
            restore(wish(tmp_path, taken.backup_id, source.url(), **impossible))
        assert refusal.value.hint
    with pytest.raises(ConfigurationError, match="the target names one database, and the backup holds 2"):
        restore(wish(tmp_path, taken.backup_id, source.url("shop_copy")))


@pytest.mark.parametrize("choice", [{"databases": ["shop"]}, {"exclude": ["ledger"]}])
def test_databases_that_are_chosen_are_dumped_one_by_one_and_said_not_to_be_of_one_moment(
    source: Server, tmp_path: Path, choice: dict[str, list[str]]
) -> None:
    [file] = backup(job(source.url(), tmp_path, **choice)).files
    assert (file.name, file.database, file.databases) == ("shop.archive.zst", "shop", {})
    assert file.contents is not None
    assert NOT_POINT_IN_TIME in file.contents.notes


def test_a_backup_of_everything_that_fails_keeps_nothing(source: Server, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    with_tool(source, tmp_path / "tools", "mongodump", "exit 1")
    url = source.url().replace(str(source.tools), str(tmp_path / "tools"))
    with pytest.raises(RunFailed) as caught:
        backup(job(url, tmp_path / "backups"))
    assert caught.value.report.failures[0].subject == "all databases"
    assert not list((tmp_path / "backups").rglob("backup.meta.json"))
