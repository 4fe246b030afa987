"""The promises of an integrity check: every byte is read, and each kind of damage is found and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from actions import keys
from actions.backups import delete, rebuild_catalog
from actions.door import LOCAL_ADMINISTRATOR
from core.container import Header
from core.errors import BackupNotFound, RunFailed, StorageError
from core.jobs import Address, IntegritySpec
from core.reports import BackupReport, CheckedBackup, IntegrityReport
from core.states import RunState
from core.streams import CHUNK_SIZE
from flows.backup import backup
from flows.integrity import integrity
from services import integrity as checks
from services.records import catalog
from tests.flows.shop import files_below, job

TAG = 16


def check(storage: Path, **options: object) -> IntegrityReport:
    return integrity(IntegritySpec.model_validate({"storages": [f"file://{storage}"], **options}))


def failure(storage: Path) -> CheckedBackup:
    with pytest.raises(RunFailed) as caught:
        check(storage)
    [one] = (one for one in caught.value.report.checked if one.outcome == "failed")
    assert isinstance(one, CheckedBackup)
    return one


@pytest.fixture(scope="module")
def profile(home: Path) -> str:
    return keys.create(LOCAL_ADMINISTRATOR, "integrity-tests").name


@pytest.fixture
def stored(tmp_path: Path, profile: str) -> tuple[Path, Path]:
    """An encrypted backup of four chunks: the storage's folder, and the object's path."""
    import sqlite3

    with sqlite3.connect(tmp_path / "big.db") as connection:
        connection.execute("CREATE TABLE blobs (data BLOB)")
        connection.executemany("INSERT INTO blobs VALUES (?)", [(os.urandom(CHUNK_SIZE // 2),) for _ in range(7)])
    connection.close()
    report = backup(job(tmp_path / "big.db", tmp_path / "backups", profile=profile, compression="none"))
    return tmp_path / "backups", tmp_path / "backups" / report.folder / report.files[0].name


def start_of_chunk(data: bytes, index: int) -> int:
    length = int.from_bytes(data[8:12], "big")
    return 12 + length + index * (Header.parse(data[12 : 12 + length]).chunk + TAG)


def flip(position: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[position(data)] ^= 1
        return bytes(changed)

    return damage


def swap(data: bytes) -> bytes:
    first, second, third = (start_of_chunk(data, index) for index in (0, 1, 2))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a byte of the header": (flip(lambda data: data.index(b'"salt":"') + 12), "header"),
    "a byte of a chunk": (flip(lambda data: start_of_chunk(data, 1) + 5), "chunk 1"),
    "a byte of a tag": (flip(lambda data: start_of_chunk(data, 2) - 1), "chunk 1"),
    "the last chunk missing": (lambda data: data[: start_of_chunk(data, 3)], "end"),
    "cut in a chunk": (lambda data: data[: start_of_chunk(data, 2) + 1000], "end|cut"),
    "bytes after the end": (lambda data: data + b"more", "after"),
    "two chunks swapped": (swap, "place"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_each_damage_is_found_and_named(stored: tuple[Path, Path], what: str) -> None:
    damage, words = DAMAGES[what]
    storage, path = stored
    path.write_bytes(damage(path.read_bytes()))
    found = failure(storage)
    assert any(word in found.reason for word in words.split("|")), found.reason
    assert found.hint


def test_a_sound_backup_passes_and_the_result_lies_beside_it(stored: tuple[Path, Path]) -> None:
    storage, path = stored
    report = check(storage)
    assert [(one.outcome, one.method) for one in report.checked] == [("passed", "read back")]
    [result] = (path.parent / "verification").iterdir()
    assert CheckedBackup.model_validate_json(result.read_bytes()).outcome == "passed"


def test_a_missing_file_is_found(stored: tuple[Path, Path]) -> None:
    storage, path = stored
    path.unlink()
    assert "missing" in failure(storage).reason


def test_a_tampered_manifest_is_found(stored: tuple[Path, Path]) -> None:
    storage, path = stored
    manifest = path.parent / "backup.meta.json"
    manifest.write_text(manifest.read_text().replace('"trigger":"python"', '"trigger":"manual"'))
    assert "tampered" in failure(storage).reason or "changed" in failure(storage).reason


def test_an_unfinished_backup_is_skipped_with_its_reason(stored: tuple[Path, Path]) -> None:
    storage, path = stored
    (path.parent / "backup.meta.json").unlink()
    catalog().forget_location(path.parent.name, str(storage))
    with pytest.raises(RunFailed, match="no finished backup to check") as caught:
        check(storage)
    [one] = caught.value.report.checked
    assert one.outcome == "skipped"
    assert "never finished" in one.reason


@pytest.mark.parametrize("gone", ["the folder", "the manifest"])
def test_a_backup_that_the_catalog_knows_and_that_is_gone_is_missing(
    stored: tuple[Path, Path], shop: Path, gone: str
) -> None:
    storage, path = stored
    kept = backup(job(shop, storage))
    if gone == "the folder":
        shutil.rmtree(path.parent)
    else:
        (path.parent / "backup.meta.json").unlink()
    one = failure(storage)
    assert (one.backup_id, "missing" in one.reason) == (path.parent.name, True)
    assert not (path.parent / "verification").exists()
    rebuild_catalog(LOCAL_ADMINISTRATOR, [Address(f"file://{storage}")])
    assert [one.backup_id for one in check(storage).checked if one.outcome == "passed"] == [kept.backup_id]


def test_one_backup_can_be_checked_by_its_id(shop: Path, tmp_path: Path) -> None:
    reports: list[BackupReport] = [backup(job(shop, tmp_path / "backups")) for _ in range(2)]
    report = check(tmp_path / "backups", backup=reports[0].backup_id)
    assert [one.backup_id for one in report.checked] == [reports[0].backup_id]
    with pytest.raises(BackupNotFound):
        check(tmp_path / "backups", backup="20200101T000000Z-aaaaaa")


def test_a_destination_that_cannot_be_listed_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "job-12345678").symlink_to("/nonexistent")
    shutil.rmtree(tmp_path / "backups")
    with pytest.raises(StorageError):
        check(tmp_path / "backups")


def test_of_several_destinations_those_that_answer_are_checked_and_the_others_told(shop: Path, tmp_path: Path) -> None:
    backup(job(shop, tmp_path / "backups"))
    away = (tmp_path / "away", tmp_path / "gone")
    places = tuple(Address(f"file://{folder}") for folder in (away[0], tmp_path / "backups", away[1]))
    with pytest.raises(RunFailed) as failure:
        integrity(IntegritySpec(storages=places))
    report = failure.value.report
    assert isinstance(report, IntegrityReport)
    assert ([one.outcome for one in report.checked], report.state) == (["passed"], RunState.FAILED)
    assert [one.subject for one in report.unread] == list(map(str, away))
    assert [one.reason for one in report.failures] == [one.reason for one in report.unread]
    assert all(one.subject in report.summary and one.reason for one in report.unread)


def test_a_backup_that_retention_deletes_meanwhile_is_skipped_and_nothing_is_written_where_it_was(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "backups"
    old, new = (backup(job(shop, storage)) for _ in range(2))
    before = after_the_list(
        monkeypatch, lambda: delete(LOCAL_ADMINISTRATOR, old.backup_id, Address(f"file://{storage}"))
    )
    report = check(storage)
    assert before == [old.backup_id]
    assert {one.backup_id: one.outcome for one in report.checked} == {new.backup_id: "passed", old.backup_id: "skipped"}
    assert "it was deleted meanwhile" in {one.reason for one in report.checked}
    assert files_below(storage / old.folder) == []


def test_a_deletion_that_has_not_reached_the_catalog_yet_raises_no_alarm(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "backups"
    old, new = (backup(job(shop, storage)) for _ in range(2))
    later = Timer(0.5, lambda: catalog().forget_location(old.backup_id, str(storage)))

    def cut() -> str:
        shutil.rmtree(storage / old.folder)
        later.start()
        return old.backup_id

    after_the_list(monkeypatch, cut)
    outcomes = {one.backup_id: one.outcome for one in check(storage).checked}
    later.join()
    assert outcomes == {new.backup_id: "passed", old.backup_id: "skipped"}


def test_a_backup_that_somebody_else_removes_meanwhile_is_missing(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "backups"
    old, _ = (backup(job(shop, storage)) for _ in range(2))
    after_the_list(monkeypatch, lambda: shutil.rmtree(storage / old.folder))
    found = failure(storage)
    assert (found.backup_id, "missing" in found.reason) == (old.backup_id, True)
    assert not (storage / old.folder).exists()


def after_the_list(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[object]:
    """Do something once, between the scan of a check and its first look at a backup; gives what came of it."""
    done: list[object] = []
    original = checks.check

    def check_late(*arguments: Any) -> CheckedBackup:
        if not done:
            done.append(act())
        return original(*arguments)

    monkeypatch.setattr(checks, "check", check_late)
    return done


def test_only_the_last_results_stay_beside_a_backup(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    results = tmp_path / "backups" / report.folder / "verification"
    results.mkdir()
    old = [results / f"2020010{day}T000000Z-00000{day}.json" for day in range(1, 8)]
    for path in old:
        path.write_text("{}")
    check(tmp_path / "backups")
    left = sorted(results.iterdir())
    assert left[:-1] == old[-4:]
    assert CheckedBackup.model_validate_json(left[-1].read_bytes()).outcome == "passed"
