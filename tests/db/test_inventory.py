"""Lists of the catalog, made by the database itself: they find what fits, in order, and count it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import db.migrations
from core.manifest import FileEncryption, JobReference, Manifest, ManifestFile, SourceDescription
from core.naming import backup_folder, job_slug
from db.catalog import Catalog
from db.inventory import Health, Inventory, Sum, Wanted
from db.session import Database

START = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def manifest(
    number: int, job: str = "shop", *, engine: str = "sqlite", profile: str | None = None, missing: tuple[str, ...] = ()
) -> Manifest:
    moment = START + timedelta(hours=12 * number)
    file = ManifestFile(
        name=f"shop.db.zst{'.enc' if profile else ''}",
        database="shop",
        kind="database",
        dump_format="sqlite",
        compression="zstd",
        encryption=FileEncryption(profile=profile, key_id="0" * 16) if profile else None,
        size=100 + number,
        sha256="0" * 64,
        dump_size=1000,
    )
    return Manifest(
        backup_id=f"{moment:%Y%m%dT%H%M%SZ}-{number:06x}",
        job=JobReference(id=job, name=job),
        source=SourceDescription(name=f"{job}-prod", engine=engine, server_version="3", tool="t"),
        trigger="manual",
        started_at=moment,
        finished_at=moment,
        files=(file,),
        missing=missing,
    )


def written(one: Manifest) -> bytes:
    """Its bytes; nobody asks here whether they are genuine."""
    return one.model_dump_json().encode()


def record(database: Database, one: Manifest, *storages: str, locked: bool = False) -> str:
    folder = backup_folder(job_slug(one.job.name, one.job.id), one.backup_id)
    for storage in storages or ("disk",):
        Catalog(database).record(one, written(one), storage=storage, folder=folder, locked=locked)
    return one.backup_id


@pytest.fixture
def stocked(database: Database) -> Inventory:
    """Five backups of three jobs."""
    record(database, manifest(0), "disk", "attic")
    record(database, manifest(1, profile="production"), "attic")
    record(database, manifest(2, job="billing", engine="mysql"), "disk", locked=True)
    record(database, manifest(3, missing=("users",)), "disk")
    record(database, manifest(4, job="100%_wool"), "disk")
    return Inventory(database)


def found(inventory: Inventory, wanted: Wanted) -> list[int]:
    numbers = [int(one.backup_id[-6:], 16) for one in inventory.search(wanted, limit=100)]
    assert inventory.count(wanted) == len(numbers)
    return numbers


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [4, 3, 2, 1, 0]),
        (Wanted(job="shop"), [3, 1, 0]),
        (Wanted(storage="attic"), [1, 0]),
        (Wanted(engine="mysql"), [2]),
        (Wanted(encrypted=True), [1]),
        (Wanted(encrypted=False), [4, 3, 2, 0]),
        (Wanted(locked=True), [2]),
        (Wanted(locked=False), [4, 3, 1, 0]),
        (Wanted(text="SHOP"), [3, 1, 0]),
        (Wanted(text="-000002"), [2]),
        (Wanted(text="0%_w"), [4]),
        (Wanted(text="%"), [4]),
        (Wanted(text="\\"), []),
        (Wanted(text="'; DROP TABLE backups; --"), []),
        (Wanted(sources=frozenset({"billing-prod"})), [2]),
        (Wanted(sources=frozenset()), []),
        (Wanted(job="shop", storage="disk", encrypted=False), [3, 0]),
    ],
)
def test_a_search_finds_what_fits_newest_first(stocked: Inventory, wanted: Wanted, numbers: list[int]) -> None:
    assert found(stocked, wanted) == numbers


def test_pages_do_not_overlap_and_leave_nothing_out(stocked: Inventory) -> None:
    pages = [stocked.search(Wanted(), limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert len({one.backup_id for page in pages for one in page}) == 5


def test_a_line_says_what_the_manifest_says(stocked: Inventory) -> None:
    line = stocked.search(Wanted(encrypted=True), limit=1)[0]
    assert (line.job, line.source, line.engine, line.profile) == ("shop", "shop-prod", "sqlite", "production")
    assert (line.size, line.dump_size, line.complete) == (101, 1000, True)
    assert [copy.storage for copy in line.copies] == ["attic"]


def test_only_the_newest_check_of_each_copy_is_shown(database: Database, stocked: Inventory) -> None:
    catalog, backup_id = Catalog(database), manifest(0).backup_id
    catalog.verified(backup_id, storage="disk", method="read back", passed=False, detail="damaged")
    catalog.verified(backup_id, storage="disk", method="read back", passed=True)
    catalog.verified(backup_id, storage="attic", method="size only", passed=True)
    line = stocked.search(Wanted(storage="attic"), limit=2)[1]
    assert [(copy.storage, copy.passed, copy.method) for copy in line.copies] == [
        ("attic", True, "size only"),
        ("disk", True, "read back"),
    ]
    assert all(copy.checked_at and copy.checked_at.tzinfo for copy in line.copies)


def test_a_copy_that_is_seen_again_keeps_its_last_check(database: Database, stocked: Inventory) -> None:
    catalog, one = Catalog(database), manifest(0)
    catalog.verified(one.backup_id, storage="disk", method="read back", passed=True)
    catalog.verified(one.backup_id, storage="disk", method="read back", passed=False, detail="torn")
    record(database, one)
    assert stocked.health() == Health(copies=6, passed=0, failed=1), "what is recorded again is not checked anew"
    catalog.forget_location(one.backup_id, "disk")
    assert stocked.health() == Health(copies=5, passed=0, failed=0)
    record(database, one)
    assert [one.copy.detail for one in stocked.checks(limit=1)] == ["torn"]
    assert stocked.health() == Health(copies=6, passed=0, failed=1)


def test_the_newest_complete_backup_of_a_job_is_neither_partial_nor_without_a_copy(
    database: Database, stocked: Inventory
) -> None:
    newest = stocked.newest_complete()
    assert {slug: one.backup_id[-1] for slug, one in newest.items()} == {
        job_slug("shop", "shop"): "1",
        job_slug("billing", "billing"): "2",
        job_slug("100%_wool", "100%_wool"): "4",
    }
    Catalog(database).forget_location(manifest(1).backup_id, "attic")
    assert stocked.newest_complete()[job_slug("shop", "shop")].backup_id == manifest(0).backup_id


def test_bytes_are_summed_up_by_storage_and_by_day(stocked: Inventory) -> None:
    assert stocked.by_storage() == {"disk": Sum(4, 100 + 102 + 103 + 104), "attic": Sum(2, 201)}
    assert stocked.by_day(date(2026, 11, 21)) == {
        date(2026, 11, 21): Sum(2, 205),
        date(2026, 11, 22): Sum(1, 104),
    }


def test_jobs_that_have_backups_are_listed_once(stocked: Inventory) -> None:
    assert list(stocked.jobs()) == ["100%_wool", "billing", "shop"]


def test_a_catalog_of_an_older_version_is_searched_like_a_new_one(database: Database) -> None:
    one = manifest(7, profile="production", missing=("users",))
    record(database, one)
    older = {key: value for key, value in json.loads(written(one)).items() if key != "missing"}
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(db.migrations.__file__).parent))
    with database.engine.begin() as connection:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "0002")
        values = {"id": "20260101T000000Z-000000", "moment": "2026-01-01 00:00:00+00:00"}
        columns = "backup_id, job_name, job_slug, started_at, manifest"
        insert = text(f"INSERT INTO backups ({columns}) VALUES (:id, 'j', 'j', :moment, :m)")
        connection.execute(insert, {**values, "m": json.dumps(older).encode()})
        connection.execute(insert, {**values, "id": "20260102T000000Z-000000", "m": b"damaged"})
        command.upgrade(scripts, "head")
    damaged, good = Inventory(database).search(Wanted(job="j"), limit=9)
    assert (good.source, good.engine, good.profile, good.size, good.complete) == (
        "shop-prod",
        "sqlite",
        "production",
        107,
        True,
    )
    assert (damaged.source, damaged.size, damaged.complete) == ("", 0, False)
    assert [copy.storage for copy in Inventory(database).search(Wanted(job="shop"), limit=1)[0].copies] == ["disk"]


def test_copies_that_failed_their_last_check_come_first_then_those_never_checked(
    stocked: Inventory, database: Database
) -> None:
    catalog = Catalog(database)
    first, second, third = (manifest(number).backup_id for number in range(3))
    catalog.verified(second, storage="attic", method="read back", passed=True)
    catalog.verified(first, storage="disk", method="read back", passed=False, detail="torn")
    catalog.verified(first, storage="disk", method="read back", passed=True)
    catalog.verified(third, storage="disk", method="read back", passed=True)
    catalog.verified(third, storage="disk", method="read back", passed=False, detail="torn again")
    found = [(one.backup_id, one.copy.storage, one.copy.passed) for one in stocked.checks(limit=10)]
    assert found[0] == (third, "disk", False)
    assert [passed for *_, passed in found] == [False, None, None, None, True, True]
    assert found[4:] == [(second, "attic", True), (first, "disk", True)], "the oldest check first"
    assert stocked.checks(limit=2, offset=4)[0].backup_id == second
    assert stocked.health() == Health(copies=6, passed=2, failed=1)
    assert stocked.health().unchecked == 3


def test_whoever_is_limited_sees_the_copies_jobs_and_storages_of_their_sources_only(stocked: Inventory) -> None:
    mine = frozenset({"billing-prod"})
    assert {one.job for one in stocked.checks(mine, limit=10)} == {"billing"}
    assert stocked.health(mine).copies == 1
    assert stocked.jobs(mine) == ["billing"]
    assert stocked.storages(mine) == ["disk"]
    assert stocked.storages() == ["attic", "disk"]


def test_one_backup_is_found_by_its_id(stocked: Inventory) -> None:
    found = stocked.get(manifest(0).backup_id)
    assert found is not None
    assert [copy.storage for copy in found.copies] == ["attic", "disk"]
    assert stocked.get("20000101T000000Z-000000") is None
