"""How little retention reads of a destination, and that a catalog that is wrong makes it delete nothing wrong."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core import naming
from core.compression import Algorithm
from core.container import ProfileKey
from core.manifest import FileEncryption, JobReference, Manifest, ManifestFile, SourceDescription
from core.ports import StoredObject
from core.reports import Retained
from core.retention import Retention
from core.streams import Chunk
from services import retention, stored
from services.candidates import Rules, Series
from services.destinations import Destination
from services.records import catalog
from tests.fakes.storage import MemoryStorage

JOB = JobReference(id="job:many", name="many")
SOURCE = SourceDescription(name="shop-prod", engine="postgresql", server_version="15.1", tool="pg_dump 15.1")
SLUG = naming.job_slug(JOB.name, JOB.id)
NOW = datetime.now(UTC).replace(microsecond=0)
KEY = ProfileKey.generate("production")


@dataclass
class Counting(MemoryStorage):
    """Counts the requests that a remote destination would get."""

    requests: Counter[str] = field(default_factory=Counter)
    read: list[str] = field(default_factory=list)

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        self.requests["get"] += 1
        self.read.append(key)
        return super().get(key, offset=offset, length=length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        self.requests["list"] += 1
        return super().list(prefix)

    def present(self, key: str) -> bool:
        self.requests["present"] += 1
        return super().present(key)


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> Iterator[None]:
    """Every test begins with a catalog that knows nothing."""
    yield
    empty_catalog()


def empty_catalog() -> None:
    for entry in catalog().backups():
        for storage in entry.storages:
            catalog().forget_location(entry.manifest.backup_id, storage)


@pytest.fixture
def place() -> Destination:
    return Destination("bucket", Counting())


def counted(place: Destination) -> Counting:
    assert isinstance(place.storage, Counting)
    return place.storage


def manifest_of(hours: int, missing: Sequence[str] = (), key: ProfileKey | None = None) -> Manifest:
    """That of a backup which was started so many hours ago."""
    moment, data = NOW - timedelta(hours=hours), b"dump"
    file = ManifestFile(
        name=naming.object_name("shop", "dump", "", encrypted=key is not None), database="shop", kind="database",
        dump_format="pg_custom", compression=Algorithm.NONE, size=len(data), sha256=hashlib.sha256(data).hexdigest(),
        dump_size=len(data),
        encryption=FileEncryption(profile=key.profile, key_id=key.key_id) if key else None,
    )  # fmt: skip
    return Manifest(
        backup_id=naming.new_backup_id(moment), job=JOB, source=SOURCE, trigger="manual", started_at=moment,
        finished_at=NOW, files=(file,), missing=tuple(missing),
    )  # fmt: skip


def put(place: Destination, manifest: Manifest, key: ProfileKey | None = None) -> bytes:
    folder, written = naming.backup_folder(SLUG, manifest.backup_id), manifest.to_bytes(key)
    place.storage.put(f"{folder}/{manifest.files[0].name}", [b"dump"])
    place.storage.put(naming.manifest_key(folder), [written])
    return written


def record(place: Destination, manifest: Manifest, written: bytes) -> None:
    folder = naming.backup_folder(SLUG, manifest.backup_id)
    catalog().record(manifest, written, storage=place.name, folder=folder)


def taken(place: Destination, hours: int, *, missing: Sequence[str] = (), key: ProfileKey | None = None) -> str:
    """A backup as a run stores and records it."""
    manifest = manifest_of(hours, missing, key)
    record(place, manifest, put(place, manifest, key))
    return manifest.backup_id


def pruned(place: Destination, policy: str, key: ProfileKey | None = None) -> Retained:
    rules = Rules(Retention.parse(policy), ZoneInfo("UTC"), NOW)
    counted(place).requests.clear()
    counted(place).read.clear()
    keys = {key.key_id: key} if key else {}
    return retention.apply(place, Series.of(JOB, SOURCE), rules, lambda: keys)


def outcomes(report: Retained) -> dict[str, str]:
    assert report.failure is None, report.failure
    return {one.backup_id: one.outcome for one in report.backups}


def there(place: Destination) -> set[str]:
    return {one.backup_id for one in stored.folders(place.storage, SLUG) if one.complete}


# --- how much is read ---


@pytest.mark.parametrize("number", [5, 60])
def test_where_nothing_is_to_go_one_list_is_all_however_many_backups_there_are(place: Destination, number: int) -> None:
    for hours in range(number):
        taken(place, hours)
    assert set(outcomes(pruned(place, "last=1000")).values()) == {"kept"}
    assert counted(place).requests == {"list": 1}


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("number", [5, 60])
def test_what_goes_and_the_newest_few_are_read_and_nothing_else(
    place: Destination, number: int, key: ProfileKey | None
) -> None:
    ids = [taken(place, hours, key=key) for hours in range(number)]
    report = pruned(place, f"last={number - 1},min_keep=2", key)
    assert [one for one, outcome in outcomes(report).items() if outcome == "deleted"] == [ids[-1]]
    assert counted(place).read == [naming.manifest_key(f"{SLUG}/{one}") for one in sorted([ids[-1], *ids[:2]])]
    # the list of the job, and what the deletion itself lists; a pin for each that is read, and before the deletion
    assert counted(place).requests == {"list": 2, "get": 3, "present": 4}


def test_the_latest_of_a_job_by_its_name_reads_one_manifest_beside_many_of_other_jobs(place: Destination) -> None:
    wanted = taken(place, 50)
    for hours, job in itertools.product(range(20), ("other", "more")):
        folder = naming.backup_folder(
            naming.job_slug(job, f"job:{job}"), naming.new_backup_id(NOW - timedelta(hours=hours))
        )
        place.storage.put(naming.manifest_key(folder), [b"{}"])
    assert stored.find(place.storage, f"{JOB.name}/latest").backup_id == wanted
    assert counted(place).requests == {"list": 1, "get": 1}


# --- a catalog that is wrong ---


def test_an_emptied_catalog_costs_reads_and_changes_no_decision(place: Destination) -> None:
    ids = [taken(place, hours) for hours in range(6)]
    empty_catalog()
    report = pruned(place, "last=4,min_keep=1")
    assert [outcomes(report)[one] for one in ids] == ["kept"] * 4 + ["deleted"] * 2
    assert len(counted(place).read) == 6


def test_backups_that_only_the_catalog_knows_stand_in_for_nothing(place: Destination) -> None:
    real = [taken(place, hours) for hours in (10, 11)]
    for hours in range(5):
        manifest = manifest_of(hours)
        record(place, manifest, manifest.to_bytes(None))
    assert outcomes(pruned(place, "last=2,min_keep=1")) == dict.fromkeys(real, "kept")


def test_a_catalog_that_calls_a_partial_backup_whole_deletes_nothing(place: Destination) -> None:
    whole = taken(place, 5)
    partial = manifest_of(1, ["web"])
    put(place, partial)
    lie = partial.model_copy(update={"missing": ()})
    record(place, lie, padded(lie, partial))
    report = pruned(place, "last=1,min_keep=1")
    assert report.failure
    assert "not the one that was written" in report.failure.reason
    assert there(place) == {whole, partial.backup_id}


def padded(lie: Manifest, truth: Manifest) -> bytes:
    """The bytes of a manifest that is as long as another."""
    written = lie.to_bytes(None)
    return written + b" " * (len(truth.to_bytes(None)) - len(written))


def test_a_manifest_changed_to_one_of_the_same_size_saves_nobody_from_being_read(place: Destination) -> None:
    old, new = taken(place, 5), taken(place, 1)
    key = naming.manifest_key(f"{SLUG}/{new}")
    body, modified = counted(place).objects[key]
    counted(place).objects[key] = (body.replace(b'"shop-prod"', b'"shop-test"'), modified)
    report = pruned(place, "last=1,min_keep=1")
    assert report.failure
    assert there(place) == {old, new}


def test_a_manifest_that_was_written_to_long_after_its_run_is_read_each_time(place: Destination) -> None:
    backup_id = taken(place, 1)
    key = naming.manifest_key(f"{SLUG}/{backup_id}")
    body, modified = counted(place).objects[key]
    counted(place).objects[key] = (body, modified + timedelta(days=2))
    pruned(place, "last=9")
    assert counted(place).read == [key]


def test_a_catalog_whose_encrypted_manifest_was_changed_is_not_believed(place: Destination) -> None:
    old = taken(place, 5, key=KEY)
    manifest = manifest_of(1, ["w"], KEY)
    written = put(place, manifest, KEY)
    record(place, manifest, written.replace(b'"w"', b'"v"'))
    report = pruned(place, "last=1,min_keep=1", KEY)
    assert report.failure
    assert there(place) == {old, manifest.backup_id}


def test_a_catalog_that_knows_of_no_pin_deletes_nothing_that_is_pinned(place: Destination) -> None:
    held, *others = (taken(place, hours) for hours in (9, 8, 7))
    place.storage.put(f"{naming.lock_key(f'{SLUG}/{held}')}/inside", [b""])  # a pin that no list shows as one
    report = outcomes(pruned(place, "last=1,min_keep=1"))
    assert report == {held: "kept", others[0]: "deleted", others[1]: "kept"}


def test_what_lies_under_the_name_of_another_storage_is_read(place: Destination) -> None:
    backup_id = taken(place, 1)
    moved = Destination("renamed", place.storage)
    pruned(moved, "last=9")
    assert counted(place).read == [naming.manifest_key(f"{SLUG}/{backup_id}")]
