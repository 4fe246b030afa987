"""The catalog knows every copy of every backup, newest first, and forgets only what is gone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.errors import BackupNotFound, ConfigurationError
from core.manifest import JobReference, Manifest, SourceDescription
from core.naming import backup_folder, job_slug
from db.catalog import Catalog
from db.session import Database

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def manifest(number: int, job: str = "shop") -> Manifest:
    moment = START + timedelta(hours=number)
    return Manifest(
        backup_id=f"{moment:%Y%m%dT%H%M%SZ}-{number:06x}",
        job=JobReference(id=job, name=job),
        source=SourceDescription(name="s", engine="sqlite", server_version="3", tool="t"),
        trigger="manual",
        started_at=moment,
        finished_at=moment,
        files=(),
    )


def record(catalog: Catalog, one: Manifest, storage: str = "disk", *, locked: bool = False) -> str:
    folder = backup_folder(job_slug(one.job.name, one.job.id), one.backup_id)
    catalog.record(one, one.to_bytes(), storage=storage, folder=folder, locked=locked)
    return one.backup_id


def ids(catalog: Catalog, *, limit: int = 1000, offset: int = 0, job: str | None = None) -> list[str]:
    return [entry.manifest.backup_id for entry in catalog.backups(limit=limit, offset=offset, job=job)]


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return Catalog(database)


def test_what_was_recorded_comes_back_whole(catalog: Catalog) -> None:
    one = manifest(1)
    record(catalog, one, "disk")
    record(catalog, one, "attic", locked=True)
    (entry,) = catalog.backups()
    assert entry.manifest == one
    assert entry.storages == ("attic", "disk")
    assert entry.locked


def test_recording_a_copy_again_brings_it_up_to_date(catalog: Catalog) -> None:
    one = manifest(1)
    record(catalog, one, locked=True)
    record(catalog, one, locked=False)
    (entry,) = catalog.backups()
    assert entry.storages == ("disk",)
    assert not entry.locked


def test_pages_are_newest_first_and_complete(catalog: Catalog) -> None:
    recorded = [record(catalog, manifest(number)) for number in (3, 1, 6, 2, 5, 4, 0)]
    pages = [ids(catalog, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [one for page in pages for one in page] == sorted(recorded, reverse=True)


def test_backups_of_one_second_have_an_order(catalog: Catalog) -> None:
    same = [manifest(1).model_copy(update={"backup_id": f"20261122T040000Z-00000{n}"}) for n in range(5)]
    for one in same:
        record(catalog, one)
    assert ids(catalog, limit=2) + ids(catalog, limit=3, offset=2) == [one.backup_id for one in reversed(same)]


def test_a_job_is_meant_by_its_name_or_its_slug(catalog: Catalog) -> None:
    shop, other = record(catalog, manifest(1, "Shop Ü")), record(catalog, manifest(2, "other"))
    assert ids(catalog, job="Shop Ü") == ids(catalog, job=job_slug("Shop Ü", "Shop Ü")) == [shop]
    assert ids(catalog, job="other") == [other]
    assert ids(catalog, job="nobody") == []


def test_a_reference_is_an_id_or_the_latest_of_all_or_of_a_job(catalog: Catalog) -> None:
    first, second = record(catalog, manifest(1, "a/b")), record(catalog, manifest(2, "other"))
    assert catalog.find(first).manifest.backup_id == first
    assert catalog.find("latest").manifest.backup_id == second
    assert catalog.find("a/b/latest").manifest.backup_id == first
    assert catalog.find(f"{job_slug('a/b', 'a/b')}/latest").manifest.backup_id == first


@pytest.mark.parametrize(
    "reference", ["", "latest", "shop/latest", "20261122T040000Z-000001", "%", "x/20261122T030000Z"]
)
def test_a_reference_to_nothing_is_said_to_be_one(catalog: Catalog, reference: str) -> None:
    with pytest.raises(BackupNotFound) as failure:
        catalog.find(reference)
    assert failure.value.hint


def test_an_id_under_another_job_is_not_found(catalog: Catalog) -> None:
    recorded = record(catalog, manifest(1))
    with pytest.raises(BackupNotFound):
        catalog.find(f"other/{recorded}")


def test_a_backup_is_forgotten_with_its_last_copy(catalog: Catalog) -> None:
    one = record(catalog, manifest(1), "disk")
    record(catalog, manifest(1), "attic")
    catalog.forget_location(one, "disk")
    assert catalog.find(one).storages == ("attic",)
    catalog.forget_location(one, "disk")
    assert ids(catalog) == [one]
    catalog.forget_location(one, "attic")
    assert ids(catalog) == []


def test_one_copy_is_pinned_and_unpinned(catalog: Catalog) -> None:
    one, other = record(catalog, manifest(1)), record(catalog, manifest(2))
    catalog.set_locked(one, "disk", True)
    assert (catalog.find(one).locked, catalog.find(other).locked) == (True, False)
    catalog.set_locked(one, "disk", False)
    assert not catalog.find(one).locked


def test_checks_are_kept_newest_first_and_outlive_a_rebuild(catalog: Catalog) -> None:
    one = record(catalog, manifest(1))
    catalog.verified(one, storage="disk", method="read back", passed=True)
    catalog.verified(one, storage="attic", method="size only", passed=False, detail="too short")
    catalog.forget_location(one, "disk")
    assert ids(catalog) == []
    newest, oldest = catalog.verifications(one)
    assert (newest.storage, newest.method, newest.passed, newest.detail) == ("attic", "size only", False, "too short")
    assert oldest.passed
    assert newest.moment.tzinfo is UTC


def test_the_ids_on_one_storage_are_those_of_the_copies_there(catalog: Catalog) -> None:
    both, only_here = manifest(1), manifest(2)
    record(catalog, both, "disk")
    record(catalog, both, "attic")
    record(catalog, only_here, "disk")
    assert catalog.ids_on("disk") == {both.backup_id, only_here.backup_id}
    assert catalog.ids_on("attic") == {both.backup_id}
    assert catalog.ids_on("nowhere") == frozenset()


def test_many_may_record_at_once(catalog: Catalog) -> None:
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def upload(storage: str) -> None:
        start.wait()
        try:
            for number in range(10):
                record(catalog, manifest(number), storage)
        except ConfigurationError as failure:
            failures.append(failure)

    uploads = [threading.Thread(target=upload, args=(f"storage-{number}",)) for number in range(4)]
    for thread in uploads:
        thread.start()
    for thread in uploads:
        thread.join()
    assert failures == []
    assert [len(entry.storages) for entry in catalog.backups()] == [4] * 10


def test_the_order_is_that_of_moments_and_not_of_clocks(catalog: Catalog) -> None:
    east = timezone(timedelta(hours=9))
    early = manifest(5).model_copy(update={"started_at": START.astimezone(east)})
    early_id, late_id = record(catalog, early), record(catalog, manifest(1))
    assert ids(catalog) == [late_id, early_id]
