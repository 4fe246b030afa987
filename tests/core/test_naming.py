from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core import naming
from core.errors import ConfigurationError
from core.naming import BackupKey

NAMES = st.text(min_size=1, max_size=300).filter(lambda name: not re.search("[\ud800-\udfff]", name))
NOW = datetime(2026, 11, 22, 3, 0, 0, 999999, tzinfo=UTC)
FOLDER = "shop-12345678/20261122T030000Z-7f3a9c"


@given(database=NAMES, suffix=st.sampled_from(["", ".zst", ".gz"]), encrypted=st.booleans())
def test_any_database_gets_a_name_that_is_harmless_everywhere(database: str, suffix: str, encrypted: bool) -> None:
    name = naming.object_name(database, "dump", suffix, encrypted)
    assert re.fullmatch(r"[A-Za-z0-9_%~][A-Za-z0-9_%~-]*(\.[a-z]+)+", name)
    assert len(name) <= 230
    assert naming.is_object_name(name, suffix=suffix, encrypted=encrypted)
    assert naming.parse_key(f"{FOLDER}/{name}") == BackupKey("shop-12345678", "20261122T030000Z-7f3a9c", name)


@given(first=NAMES, second=NAMES)
def test_different_databases_get_different_names(first: str, second: str) -> None:
    assume(first != second)
    assert naming.object_name(first, "sql", "", False) != naming.object_name(second, "sql", "", False)


@pytest.mark.parametrize(
    ("database", "name"),
    [
        ("shop", "shop.dump"),
        ("a b", "a%20b.dump"),
        ("a/b", "a%2Fb.dump"),
        ("..", "%2E%2E.dump"),
        ("a=b", "a%3Db.dump"),
        ("a~b", "a%7Eb.dump"),
        ("-x", "%2Dx.dump"),
        ("x-y_Z", "x-y_Z.dump"),
        ("Ünï", "%C3%9Cn%C3%AF.dump"),
        ("globals", "%67lobals.dump"),
    ],
)
def test_names_are_encoded_as_the_format_says(database: str, name: str) -> None:
    assert naming.object_name(database, "dump", "", False) == name


def test_names_too_long_for_a_file_stay_apart() -> None:
    first, second = (naming.object_name("ü" * 400 + end, "archive", ".zst", True) for end in "ab")
    assert first != second
    assert max(len(first), len(second)) <= 230


def test_no_database_takes_the_name_of_the_server_s_own_object() -> None:
    assert naming.object_name("globals", "sql", ".zst", True) != naming.globals_name(".zst", True)
    assert naming.globals_name(".zst", True) == "globals.sql.zst.enc"
    assert naming.is_object_name("globals.sql", suffix="", encrypted=False)


def test_the_object_of_all_databases_has_a_name_of_its_own() -> None:
    assert naming.instance_name("archive", ".zst", True) == "all-databases.archive.zst.enc"
    assert naming.is_object_name("all-databases.archive", suffix="", encrypted=False)


@pytest.mark.parametrize("database", ["", "\udc80"])
def test_a_database_without_a_usable_name_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError):
        naming.object_name(database, "db", "", False)


@given(st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])))
def test_a_backup_id_tells_when_the_backup_started(now: datetime) -> None:
    backup_id = naming.new_backup_id(now)
    assert naming.is_backup_id(backup_id)
    assert naming.started_at(backup_id) == now.replace(microsecond=0)


def test_backup_ids_are_utc_and_differ_within_a_second() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert naming.new_backup_id(local).startswith("20261122T030000Z-")
    assert len({naming.new_backup_id(NOW) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "20261122T030000Z",
        "20261322T030000Z-7f3a9c",
        "20261122T030000Z-7F3A9C",
        "\uff120261122T030000Z-7f3a9c",
    ],
)
def test_what_is_no_backup_id_is_refused(text: str) -> None:
    assert not naming.is_backup_id(text)
    with pytest.raises(ConfigurationError):
        naming.started_at(text)


@given(
    name=st.text(max_size=200), job_id=st.text(max_size=40).filter(lambda text: not re.search("[\ud800-\udfff]", text))
)
def test_any_job_gets_a_folder_that_is_harmless_everywhere(name: str, job_id: str) -> None:
    slug = naming.job_slug(name, job_id)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= 49
    assert naming.parse_key(f"{slug}/20261122T030000Z-7f3a9c/{naming.MANIFEST}") is not None


def test_the_folder_of_a_job_can_be_read_by_people() -> None:
    assert re.fullmatch(r"nightly-uber-shop-[0-9a-f]{8}", naming.job_slug("Nightly: Über Shop!", "1"))
    assert re.fullmatch(r"job-[0-9a-f]{8}", naming.job_slug("夜", "1"))


def test_two_jobs_with_one_name_never_share_a_folder() -> None:
    assert naming.job_slug("shop", "1") != naming.job_slug("shop", "2")
    assert naming.job_slug("shop", "1") == naming.job_slug("shop", "1")


def test_every_key_that_is_built_can_be_taken_apart() -> None:
    keys = [naming.manifest_key(FOLDER), naming.lock_key(FOLDER), naming.verification_key(FOLDER, NOW)]
    taken = [naming.parse_key(key) for key in keys]
    assert [part.folder for part in taken if part] == [FOLDER] * 3
    assert [part.is_manifest for part in taken if part] == [True, False, False]


def test_results_of_verifications_never_take_each_other_s_place() -> None:
    assert len({naming.verification_key(FOLDER, NOW) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "key",
    [
        "",
        "notes.txt",
        FOLDER,
        f"{FOLDER}/",
        f"{FOLDER}/notes",
        f"{FOLDER}/../shop.dump",
        f"{FOLDER}/a/shop.dump",
        f"{FOLDER}/.shop.dump.part",
        f"{FOLDER}/verification/x.json",
        f"/{FOLDER}/shop.dump",
        f"x/{FOLDER}/shop.dump",
        "../20261122T030000Z-7f3a9c/shop.dump",
        "Shop/20261122T030000Z-7f3a9c/shop.dump",
        "shop/20261122T030000Z-7f3a9c/shop.dump\n",
        "shop/20261122T030000Z-7f3a9c/sh%2fop.dump",
    ],
)
def test_a_key_that_is_not_ours_is_foreign(key: str) -> None:
    assert naming.parse_key(key) is None


def test_a_folder_is_known_to_be_of_a_job_by_its_readable_part() -> None:
    assert naming.is_slug_of(naming.job_slug("Shop Ü", "any id"), "Shop Ü")
    assert naming.is_slug_of(naming.job_slug("", "any id"), "")
    assert not naming.is_slug_of(naming.job_slug("shop-2", "any id"), "shop")
