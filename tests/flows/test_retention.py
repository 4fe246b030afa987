"""Retention as a part of whole runs: after a success it deletes what no rule keeps, and after anything else nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from actions import backups, saved
from actions.door import LOCAL_ADMINISTRATOR
from actions.retention import prune
from adapters.storage.local import Local
from core import naming
from core.errors import ConnectionError, RunFailed, StorageError
from core.jobs import Address, JobSpec
from core.manifest import Manifest
from core.reports import BackupReport, Retained
from core.states import RunState
from flows.backup import backup
from services.records import catalog, executions
from tests.disks import read_only
from tests.flows.shop import job
from tests.servers.postgresql import Server
from tests.waiting import until


def taken(spec: JobSpec) -> BackupReport:
    """A backup that is later than every earlier one: they are told apart by whole seconds."""
    begun = datetime.now(UTC).replace(microsecond=0)
    until(lambda: datetime.now(UTC).replace(microsecond=0) > begun, "the next second")
    return backup(spec)


def manifests(destination: Path) -> set[str]:
    """The ids of the finished backups on a destination."""
    return {path.parent.name for path in destination.rglob(naming.MANIFEST)}


def outcomes(one: Retained) -> dict[str, str]:
    return {row.backup_id: row.outcome for row in one.backups}


def test_a_run_deletes_what_no_rule_keeps_and_says_why(shop: Path, tmp_path: Path) -> None:
    spec = job(shop, tmp_path / "backups", keep="last=2,min_keep=1")
    first, second, third = (taken(spec) for _ in range(3))
    assert manifests(tmp_path / "backups") == {second.backup_id, third.backup_id}
    (retained,) = third.retention
    assert (retained.storage, retained.policy) == (str(tmp_path / "backups"), "last=2,min_keep=1")
    assert outcomes(retained) == {third.backup_id: "kept", second.backup_id: "kept", first.backup_id: "deleted"}
    assert retained.backups[0].reasons == ("newest 1", "last 2")
    assert first.backup_id not in {entry.manifest.backup_id for entry in catalog().backups()}
    stored = BackupReport.model_validate_json(executions().recent(1)[0].report or "")
    assert stored.retention == third.retention


def test_backups_of_one_database_or_of_one_table_never_push_out_those_of_another(
    postgresql: Server, tmp_path: Path
) -> None:
    for database in ("billing", "metrics"):
        postgresql.create(database)
        for table in ("orders", "log"):
            postgresql.query(f"CREATE TABLE {table} (id int)", database)
    wishes = [
        {"databases": ["billing"]},
        {"databases": ["metrics"], "tables": ["orders"]},
        {"databases": ["metrics"], "tables": ["log"]},
        {"databases": ["metrics"]},
    ]
    for wish in [*wishes, *wishes[1:]]:
        last = taken(job(postgresql.url(), tmp_path / "backups", keep="last=1,min_keep=1", **wish))
    assert last.retention[0].count("kept") == len(manifests(tmp_path / "backups")) == len(wishes)
    found = [Manifest.parse(path.read_bytes()) for path in (tmp_path / "backups").rglob(naming.MANIFEST)]
    held = [(file.database, file.filters) for one in found for file in one.files if file.kind == "database"]
    for wish in wishes:
        filters = {"tables": tuple(wish["tables"])} if "tables" in wish else {}
        assert (wish["databases"][0], filters) in held


def test_each_destination_keeps_by_its_own_rules(shop: Path, tmp_path: Path) -> None:
    names = ["retention-near", "retention-far"]
    for name in names:
        saved.add_storage(LOCAL_ADMINISTRATOR, name, f"file://{tmp_path / name}")
    try:
        spec = job(shop, *names, keep="last=3,min_keep=1", keep_at={names[0]: "last=1,min_keep=1"})
        reports = [taken(spec) for _ in range(2)]
    finally:
        for name in names:
            saved.remove_storage(LOCAL_ADMINISTRATOR, name)
    assert manifests(tmp_path / names[0]) == {reports[1].backup_id}
    assert manifests(tmp_path / names[1]) == {one.backup_id for one in reports}


def test_a_run_that_is_not_a_success_deletes_nothing(shop: Path, tmp_path: Path) -> None:
    spec = job(shop, tmp_path / "good", tmp_path / "closed", keep="last=1,min_keep=1")
    first = taken(spec)
    with read_only(tmp_path / "closed"), pytest.raises(RunFailed) as partial:
        taken(spec)
    assert isinstance(partial.value.report, BackupReport)
    assert (partial.value.report.state, partial.value.report.retention) == (RunState.PARTIAL, ())
    assert manifests(tmp_path / "good") == {first.backup_id, partial.value.report.backup_id}
    shop.write_bytes(b"no database at all")
    with pytest.raises(Exception, match="database"):
        taken(spec)
    assert manifests(tmp_path / "closed") == {first.backup_id}
    assert len(manifests(tmp_path / "good")) == 2


def test_retention_that_stops_or_breaks_leaves_the_run_a_success_and_says_so(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = job(shop, tmp_path / "backups", keep="last=1,min_keep=1")
    first = taken(spec)
    damaged = tmp_path / "backups" / first.folder / naming.MANIFEST
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    stopped = taken(spec)
    damaged.write_bytes(whole)

    def broken(*_: object) -> None:
        raise ValueError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.backup.retention.apply", broken)
        unforeseen = taken(spec)
    for report, reason in ((stopped, "manifest cannot be read"), (unforeseen, "unexpected ValueError")):
        (retained,) = report.retention
        assert report.state is RunState.SUCCESS
        assert retained.failure is not None
        assert reason in retained.failure.reason
    assert manifests(tmp_path / "backups") == {first.backup_id, stopped.backup_id, unforeseen.backup_id}


def test_a_list_that_fails_after_the_commit_deletes_nothing(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = job(shop, tmp_path / "backups", keep="last=1,min_keep=1")
    first = taken(spec)

    def cut(*_: object) -> None:
        raise ConnectionError("the line was cut", hint="try again")

    monkeypatch.setattr(Local, "list", cut)
    second = taken(spec)
    assert second.retention[0].failure is not None
    assert second.retention[0].failure.reason == "the line was cut"
    assert manifests(tmp_path / "backups") == {first.backup_id, second.backup_id}


def test_a_pinned_backup_outlives_every_run(shop: Path, tmp_path: Path) -> None:
    spec = job(shop, tmp_path / "backups", keep="last=1,min_keep=1")
    first = taken(spec)
    at = Address(f"file://{tmp_path / 'backups'}")
    backups.set_lock(LOCAL_ADMINISTRATOR, first.backup_id, at, locked=True)
    second = taken(spec)
    assert outcomes(second.retention[0]) == {second.backup_id: "kept", first.backup_id: "kept"}
    backups.set_lock(LOCAL_ADMINISTRATOR, first.backup_id, at, locked=False)
    third = taken(spec)
    assert manifests(tmp_path / "backups") == {third.backup_id}


def test_a_list_shows_a_pin_that_is_no_object(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    (tmp_path / "backups" / report.folder / naming.LOCK).symlink_to("nowhere")
    at = Address(f"file://{tmp_path / 'backups'}")
    assert [row.locked for row in backups.on_storage(LOCAL_ADMINISTRATOR, at).rows] == [True]
    backups.rebuild_catalog(LOCAL_ADMINISTRATOR, [at])
    assert catalog().find(report.backup_id).locked


def test_pruning_by_hand_shows_first_and_does_the_same(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (taken(job(shop, tmp_path / "one", tmp_path / "two")) for _ in range(2))
    spec = job(shop, tmp_path / "one", tmp_path / "two", keep="last=1,min_keep=1")
    for shown in prune(LOCAL_ADMINISTRATOR, spec, dry_run=True):
        assert outcomes(shown) == {second.backup_id: "kept", first.backup_id: "due"}
    assert manifests(tmp_path / "one") == manifests(tmp_path / "two") == {first.backup_id, second.backup_id}

    def unreadable(self: Local, prefix: str = "") -> None:
        raise StorageError("the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(Local, "list", unreadable)
        assert [one.failure.reason for one in prune(LOCAL_ADMINISTRATOR, spec, dry_run=False) if one.failure] == [
            "the disk is broken"
        ] * 2
    done = prune(LOCAL_ADMINISTRATOR, spec, dry_run=False)
    assert [outcomes(one)[first.backup_id] for one in done] == ["deleted", "deleted"]
    assert manifests(tmp_path / "one") == manifests(tmp_path / "two") == {second.backup_id}
