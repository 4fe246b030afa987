"""The promises of a restore: what comes back is whole and compared, and a target is as it was or complete."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actions import keys
from actions.backups import rebuild_catalog
from actions.door import LOCAL_ADMINISTRATOR
from core.errors import (
    BackupNotFound,
    ConfigurationError,
    RestoreError,
    RunFailed,
    TamperedManifest,
    TargetExists,
    WrongKey,
)
from core.jobs import Address, IntegritySpec, RestoreSpec
from core.reports import BackupReport
from core.states import RunState
from flows.backup import backup
from flows.integrity import integrity
from flows.restore import restore
from services.records import catalog, executions
from tests.flows.shop import job, rows
from tests.flows.test_backup import fill, wrapper
from tests.servers.postgresql import Server
from tests.waiting import until


def wish(storage: Path, target: str | Path, **options: object) -> RestoreSpec:
    where = f"sqlite://{target}" if isinstance(target, Path) else target
    return RestoreSpec.model_validate({"backup": "latest", "storage": f"file://{storage}", "target": where, **options})


@pytest.fixture
def profile(tmp_path: Path) -> str:
    return keys.create(LOCAL_ADMINISTRATOR, f"p-{abs(hash(str(tmp_path)))}").name


@pytest.fixture
def stored(shop: Path, tmp_path: Path, profile: str) -> BackupReport:
    """An encrypted backup of the shop, in ``backups``."""
    return backup(job(shop, tmp_path / "backups", profile=profile))


def object_of(stored: BackupReport, tmp_path: Path) -> Path:
    return tmp_path / "backups" / stored.folder / stored.files[0].name


def test_an_encrypted_backup_comes_back_whole_and_is_compared(shop: Path, stored: BackupReport, tmp_path: Path) -> None:
    report = restore(wish(tmp_path / "backups", tmp_path / "back.db"))
    assert report.state is RunState.SUCCESS
    assert report.backup_id == stored.backup_id
    [database] = report.restored
    assert (database.compared, database.tables, database.rows) == (True, 1, 5000)
    assert rows(tmp_path / "back.db") == rows(shop)
    recorded = executions().recent(1)[0]
    assert (recorded.kind, recorded.job_name, recorded.state) == ("restore", stored.job, RunState.SUCCESS)


def test_a_whole_postgresql_database_comes_back_under_another_name(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 1000)
    backup(job(postgresql.url("shop"), tmp_path / "backups"))
    report = restore(wish(tmp_path / "backups", postgresql.url(), rename="shop copy"))
    assert report.restored[0].restored_as == "shop copy"
    original, copy = (postgresql.query("SELECT * FROM orders ORDER BY id", name) for name in ("shop", "shop copy"))
    assert original == copy
    assert postgresql.names() >= {"shop", "shop copy"}


@pytest.mark.parametrize("name", ["a b", "-x", "Ünï'\"\\", "a=b", "a/b", "..", "dbname=postgres host=evil"])
def test_a_database_of_any_name_comes_back_under_its_own(postgresql: Server, tmp_path: Path, name: str) -> None:
    fill(postgresql, name, 10)
    backup(job(postgresql.url(name), tmp_path / "backups"))
    report = restore(wish(tmp_path / "backups", postgresql.url(), overwrite=True))
    assert [(one.database, one.rows) for one in report.restored] == [(name, 10)]
    assert len(postgresql.query("SELECT * FROM orders", name)) == 10


def test_an_existing_target_is_refused_without_overwrite(shop: Path, stored: BackupReport, tmp_path: Path) -> None:
    before = shop.read_bytes()
    with pytest.raises(TargetExists) as caught:
        restore(wish(tmp_path / "backups", shop))
    assert "--overwrite" in caught.value.hint
    assert shop.read_bytes() == before


def test_a_restore_that_fails_halfway_leaves_the_old_database(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 20_000)
    backup(job(postgresql.url("shop"), tmp_path / "backups"))
    postgresql.query("DELETE FROM orders WHERE id > 7", "shop")
    (tmp_path / "tools").mkdir()
    real = "/usr/lib/postgresql/15/bin/pg_restore"
    script = f'if [[ "$*" == *--version* ]]; then exec {real} --version; fi; head -c 200000 | {real} "$@"'
    broken = wrapper(tmp_path / "tools", "pg_restore", script)
    with pytest.raises(RunFailed) as caught:
        restore(wish(tmp_path / "backups", postgresql.url("shop") + broken, overwrite=True))
    assert caught.value.report.state is RunState.FAILED
    assert postgresql.query("SELECT count(*) FROM orders", "shop") == [(7,)]
    assert postgresql.names() == {"postgres", "template0", "template1", "shop"}


def test_a_restore_that_brings_back_less_than_the_manifest_says_is_not_put_in_place(
    postgresql: Server, tmp_path: Path
) -> None:
    fill(postgresql, "shop", 100)
    report = backup(job(postgresql.url("shop"), tmp_path / "backups"))
    path = tmp_path / "backups" / report.folder / "backup.meta.json"
    written = json.loads(path.read_text())
    written["files"][0]["contents"]["rows"]["public.orders"] = 101
    path.write_text(json.dumps(written, sort_keys=True, separators=(",", ":")))
    with pytest.raises(RunFailed, match="100 rows instead of 101"):
        restore(wish(tmp_path / "backups", postgresql.url(), rename="copy", accept_tampered=True))
    assert "copy" not in postgresql.names()


def test_a_changed_file_is_refused_before_any_of_it_is_used(stored: BackupReport, tmp_path: Path) -> None:
    path = object_of(stored, tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RunFailed, match="SHA-256") as caught:
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))
    assert caught.value.report.failures[0].hint
    assert not (tmp_path / "back.db").exists()


def test_a_tampered_manifest_is_refused_unless_that_is_accepted(stored: BackupReport, tmp_path: Path) -> None:
    path = tmp_path / "backups" / stored.folder / "backup.meta.json"
    path.write_text(path.read_text().replace('"trigger":"python"', '"trigger":"manual"'))
    with pytest.raises(TamperedManifest):
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))
    assert not (tmp_path / "back.db").exists()
    assert restore(wish(tmp_path / "backups", tmp_path / "back.db", accept_tampered=True)).state.is_good


def test_a_plain_backup_put_in_place_of_an_encrypted_one_is_refused(
    shop: Path, stored: BackupReport, tmp_path: Path
) -> None:
    plain = backup(job(shop, tmp_path / "elsewhere"))
    ours, theirs = (tmp_path / "backups" / stored.folder, tmp_path / "elsewhere" / plain.folder)
    shutil.copy(theirs / plain.files[0].name, ours)
    forged = (theirs / "backup.meta.json").read_text().replace(plain.backup_id, stored.backup_id)
    (ours / "backup.meta.json").write_text(forged)
    with pytest.raises(TamperedManifest, match="not the one that was written"):
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))
    assert not (tmp_path / "back.db").exists()


def _let_a_second_pass(report: BackupReport) -> None:
    """Of two backups of one second, nobody can say which is newer."""
    second = report.started_at.replace(microsecond=0)
    until(lambda: datetime.now(UTC) >= second + timedelta(seconds=1), "the next second")


@pytest.fixture
def planted(shop: Path, stored: BackupReport, tmp_path: Path) -> BackupReport:
    """A newer backup that is not encrypted, of which this system's catalog knows nothing."""
    _let_a_second_pass(stored)
    report = backup(job(shop, tmp_path / "backups"))
    catalog().forget_location(report.backup_id, str(tmp_path / "backups"))
    return report


@pytest.mark.parametrize("reference", ["latest", "its id"])
def test_a_plain_backup_that_somebody_planted_after_encrypted_ones_is_refused(
    planted: BackupReport, stored: BackupReport, tmp_path: Path, reference: str
) -> None:
    backup_id = "latest" if reference == "latest" else planted.backup_id
    with pytest.raises(TamperedManifest, match="is not encrypted, but older backups") as refusal:
        restore(wish(tmp_path / "backups", tmp_path / "back.db", backup=backup_id))
    assert "--accept-tampered" in refusal.value.hint
    assert not (tmp_path / "back.db").exists()
    restore(wish(tmp_path / "backups", tmp_path / "back.db", backup=stored.backup_id))
    restore(wish(tmp_path / "backups", tmp_path / "accepted.db", backup=backup_id, accept_tampered=True))


def test_the_catalog_remembers_that_a_job_encrypts_when_nothing_beside_the_planted_backup_does(
    planted: BackupReport, stored: BackupReport, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "backups" / stored.folder)
    with pytest.raises(TamperedManifest, match="is not encrypted, but older backups"):
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))


def test_a_planted_backup_is_doubtful_to_a_check_and_to_the_catalog(
    planted: BackupReport, stored: BackupReport, tmp_path: Path
) -> None:
    where = Address(f"file://{tmp_path / 'backups'}")
    copies, [problem] = rebuild_catalog(LOCAL_ADMINISTRATOR, [where])
    assert copies == 1
    assert planted.backup_id in problem
    with pytest.raises(BackupNotFound):
        catalog().find(planted.backup_id)
    with pytest.raises(RunFailed) as caught:
        integrity(IntegritySpec(storages=(where,)))
    outcomes = {one.backup_id: one.outcome for one in caught.value.report.checked}
    assert outcomes == {planted.backup_id: "failed", stored.backup_id: "passed"}
    assert rebuild_catalog(LOCAL_ADMINISTRATOR, [where], accept_tampered=True) == (2, [])
    assert integrity(IntegritySpec(storages=(where,))).state.is_good


def test_encryption_that_was_really_switched_on_or_off_alarms_nobody(shop: Path, tmp_path: Path, profile: str) -> None:
    where = Address(f"file://{tmp_path / 'backups'}")
    taken = list[BackupReport]()
    for chosen in (None, profile, None):
        taken.append(backup(job(shop, tmp_path / "backups", profile=chosen)))
        _let_a_second_pass(taken[-1])
    first, _, last = (report.backup_id for report in taken)
    catalog().forget_location(first, str(tmp_path / "backups"))
    for backup_id in (first, last):
        restore(wish(tmp_path / "backups", tmp_path / f"{backup_id}.db", backup=backup_id))
    assert rebuild_catalog(LOCAL_ADMINISTRATOR, [where]) == (3, [])


def test_a_changed_manifest_does_not_replace_the_one_the_catalog_knows(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    path = tmp_path / "backups" / report.folder / "backup.meta.json"
    path.write_text(path.read_text().replace('"trigger":"python"', '"trigger":"manual"'))
    for _ in range(2):
        copies, [problem] = rebuild_catalog(LOCAL_ADMINISTRATOR, [Address(f"file://{tmp_path / 'backups'}")])
        assert (copies, report.backup_id in problem) == (0, True)
    assert catalog().find(report.backup_id).manifest.trigger == "python"


def test_a_manifest_of_another_backup_is_refused(shop: Path, stored: BackupReport, tmp_path: Path) -> None:
    older = tmp_path / "backups" / stored.folder / "backup.meta.json"
    _let_a_second_pass(stored)
    newer = tmp_path / "backups" / backup(job(shop, tmp_path / "backups")).folder / "backup.meta.json"
    newer.write_bytes(older.read_bytes())
    with pytest.raises(TamperedManifest, match="belongs to the backup"):
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))


def test_a_backup_moved_into_another_jobs_folder_is_refused(shop: Path, tmp_path: Path) -> None:
    ours = backup(job(shop, tmp_path / "backups", name="ours"))
    theirs = backup(job(shop, tmp_path / "backups", name="theirs"))
    folder = ours.folder.partition("/")[0]
    shutil.move(tmp_path / "backups" / theirs.folder, tmp_path / "backups" / folder / theirs.backup_id)
    with pytest.raises(TamperedManifest, match="belongs to the backup theirs"):
        restore(wish(tmp_path / "backups", tmp_path / "back.db", backup=theirs.backup_id))


def test_a_dictionary_is_refused_before_prefect_can_store_it(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a dictionary"):
        backup({"source": f"sqlite://{shop}", "destinations": [f"file://{tmp_path}"]})  # type: ignore[arg-type]


def test_a_missing_key_is_named_before_a_byte_moves(stored: BackupReport, profile: str, tmp_path: Path) -> None:
    from blocks.saved import Kind, remove

    remove(Kind.PROFILE, profile)
    with pytest.raises(WrongKey, match=profile) as caught:
        restore(wish(tmp_path / "backups", tmp_path / "back.db"))
    assert "dbackup key import" in caught.value.hint


def test_roles_that_are_missing_are_named_before_anything_is_restored(
    postgresql: Server, postgresql_18: Server, tmp_path: Path
) -> None:
    fill(postgresql, "shop", 10)
    postgresql.query("CREATE ROLE clerk")
    postgresql.query("ALTER TABLE orders OWNER TO clerk", "shop")
    backup(job(postgresql.url("shop"), tmp_path / "backups"))
    with pytest.raises(RestoreError, match="clerk") as caught:
        restore(wish(tmp_path / "backups", postgresql_18.url()))
    assert "--no-owner" in caught.value.hint
    assert restore(wish(tmp_path / "backups", postgresql_18.url(), owner=False)).state.is_good
    assert postgresql_18.query("SELECT count(*) FROM orders", "shop") == [(10,)]


def test_another_engine_is_refused(stored: BackupReport, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="backup of sqlite, and the target is postgresql"):
        restore(wish(tmp_path / "backups", "postgresql://app@127.0.0.1:1/shop"))


def test_an_unknown_reference_is_a_sentence_and_an_advice(stored: BackupReport, tmp_path: Path) -> None:
    with pytest.raises(BackupNotFound, match="20200101T000000Z-aaaaaa") as caught:
        restore(wish(tmp_path / "backups", tmp_path / "back.db", backup="20200101T000000Z-aaaaaa"))
    assert "dbackup list" in caught.value.hint


def test_what_a_partial_backup_never_held_is_said_again_when_it_is_restored_or_checked(
    postgresql: Server, tmp_path: Path
) -> None:
    postgresql.create("shop")
    with pytest.raises(RunFailed):
        backup(job(postgresql.url("shop"), tmp_path / "backups", databases=["shop", "nowhere"]))
    report = restore(wish(tmp_path / "backups", postgresql.url("shop"), rename="again"))
    assert (report.missing, report.state) == (("nowhere",), RunState.SUCCESS)
    assert "never held nowhere" in report.summary
    [checked] = integrity(IntegritySpec(storages=(Address(f"file://{tmp_path / 'backups'}"),))).checked
    assert (checked.outcome, checked.missing) == ("passed", ("nowhere",))
    assert "nowhere" in checked.reason


def test_one_of_several_databases_can_be_chosen(postgresql: Server, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(postgresql, name, 5)
    backup(job(postgresql.url(), tmp_path / "backups", databases=["one", "two"]))
    report = restore(wish(tmp_path / "backups", postgresql.url(), database="two", rename="three"))
    assert [one.restored_as for one in report.restored] == ["three"]
    with pytest.raises(ConfigurationError, match="target names one database, and the backup holds 2"):
        restore(wish(tmp_path / "backups", postgresql.url("five")))
    with pytest.raises(BackupNotFound, match="four") as caught:
        restore(wish(tmp_path / "backups", postgresql.url(), database="four"))
    assert "one, two" in caught.value.hint
