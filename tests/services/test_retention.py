"""Retention on a real folder: what is deleted, and that any doubt deletes nothing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from zoneinfo import ZoneInfo

import pytest

from adapters.storage.local import Local, LocalConfig
from core import naming
from core.compression import Algorithm
from core.container import ProfileKey
from core.errors import BackupLocked, BackupNotFound, ConfigurationError, ConnectionError, StorageError
from core.manifest import Contents, FileEncryption, JobReference, Manifest, ManifestFile, SourceDescription
from core.reports import Retained
from core.retention import Retention
from services import candidates, retention, stored
from services.candidates import Rules, Series
from services.destinations import Destination
from services.records import catalog
from tests.disks import as_nobody
from tests.fakes.storage import MemoryStorage

JOB = JobReference(id="job:shop", name="shop")
SOURCE = SourceDescription(name="shop-prod", engine="postgresql", server_version="15.1", tool="pg_dump 15.1")
SLUG = naming.job_slug(JOB.name, JOB.id)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ProfileKey.generate("production")
LAST_ONE = "last=1,min_keep=1"


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> Iterator[None]:
    """Every test begins with a catalog that knows nothing."""
    yield
    for entry in catalog().backups():
        for storage in entry.storages:
            catalog().forget_location(entry.manifest.backup_id, storage)


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    (tmp_path / "backups").mkdir()
    return Destination("nas", Local(LocalConfig(path=tmp_path / "backups")))


def taken(
    place: Destination,
    day: int,
    *,
    job: JobReference = JOB,
    source: SourceDescription = SOURCE,
    databases: Sequence[str] = ("shop",),
    tables: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
    key: ProfileKey | None = None,
    together: bool = False,
) -> str:
    """A backup of a day in November 2026, stored and recorded as a run does it; gives its id."""
    moment, data = datetime(2026, 11, day, 3, tzinfo=UTC), f"dump of day {day}".encode()
    files = tuple(
        ManifestFile(
            name=naming.object_name(database, "dump", "", encrypted=key is not None), database=database,
            kind="database", dump_format="pg_custom",
            compression=Algorithm.NONE, size=len(data), sha256=hashlib.sha256(data).hexdigest(), dump_size=len(data),
            encryption=FileEncryption(profile=key.profile, key_id=key.key_id) if key else None,
            filters={"tables": tables} if tables else {},
        )
        for database in databases
    )  # fmt: skip
    if together:  # one object holds all of them
        held = {database: Contents(tables=1, rows={}) for database in databases}
        name = naming.instance_name("archive", "", encrypted=key is not None)
        files = (files[0].model_copy(update={"name": name, "database": "", "databases": held}),)
    manifest = Manifest(
        backup_id=naming.new_backup_id(moment), job=job, source=source, trigger="manual", started_at=moment,
        finished_at=moment, files=files, missing=missing,
    )  # fmt: skip
    folder = naming.backup_folder(naming.job_slug(job.name, job.id), manifest.backup_id)
    written = manifest.to_bytes(key)
    for file in files:
        place.storage.put(f"{folder}/{file.name}", [data])
    place.storage.put(naming.manifest_key(folder), [written])
    catalog().record(manifest, written, storage=place.name, folder=folder)
    return manifest.backup_id


def folder_of(place: Destination, backup_id: str) -> Path:
    return Path(place.storage.describe()) / SLUG / backup_id


def pruned(
    place: Destination,
    policy: str = LAST_ONE,
    *,
    keys: Mapping[str, ProfileKey] | None = None,
    act: Callable[..., Retained] = retention.apply,
) -> Retained:
    rules = Rules(Retention.parse(policy), ZoneInfo("UTC"), NOW)
    return act(place, Series.of(JOB, SOURCE), rules, lambda: keys or {})


def outcomes(report: Retained) -> dict[str, str]:
    assert report.failure is None
    return {one.backup_id: one.outcome for one in report.backups}


def there(place: Destination) -> set[str]:
    """The ids of the finished backups of the job."""
    return {one.backup_id for one in stored.folders(place.storage, SLUG) if one.complete}


def known(backup_id: str) -> bool:
    try:
        return bool(catalog().find(backup_id))
    except BackupNotFound:
        return False


# --- what it does ---


def test_what_no_rule_keeps_is_deleted_with_all_it_holds_and_forgotten(place: Destination) -> None:
    old, middle, new = (taken(place, day) for day in (1, 2, 3))
    report = pruned(place, "last=2,min_keep=1")
    assert outcomes(report) == {new: "kept", middle: "kept", old: "deleted"}
    assert {one.backup_id: one.reasons for one in report.backups}[old] == ("no rule keeps it",)
    assert not folder_of(place, old).exists()
    assert (known(old), known(middle), known(new)) == (False, True, True)
    assert report.summary == "2 kept, 1 deleted"


def test_a_preview_says_the_same_and_touches_nothing(place: Destination) -> None:
    old, new = taken(place, 1), taken(place, 2)
    assert outcomes(pruned(place, act=retention.preview)) == {new: "kept", old: "due"}
    assert there(place) == {old, new}
    assert outcomes(pruned(place)) == {new: "kept", old: "deleted"}


def test_a_policy_without_rules_does_not_even_look(place: Destination) -> None:
    unreachable = MemoryStorage(unreachable=True)
    report = pruned(Destination("nas", unreachable), "min_keep=1")
    assert (report.backups, report.failure) == ((), None)


def test_other_jobs_and_other_sources_are_not_counted_and_not_touched(place: Destination) -> None:
    mine = [taken(place, day) for day in (1, 2)]
    other_source = taken(place, 3, source=SOURCE.model_copy(update={"name": "shop-test"}))
    other_engine = taken(place, 4, source=SOURCE.model_copy(update={"engine": "sqlite"}))
    taken(place, 5, job=JobReference(id="job:web", name="web"))
    assert outcomes(pruned(place)) == {mine[1]: "kept", mine[0]: "deleted"}
    assert there(place) == {mine[1], other_source, other_engine}


# the backups, oldest first: the databases that each holds, and the tables it was limited to; then which of them stay
LIMITED = {
    "one database for another": (["billing", "metrics", "metrics", "metrics"], [0, 3]),
    "a whole server, the same each time": (["a b", "a b", "a b"], [2]),
    "a server that gains a database": (["a", "a", "a b", "a b"], [3]),
    "a server that loses a database": (["a b", "a b", "a", "a"], [1, 3]),
    "a server that replaces one by another": (["a b", "a b", "b c", "b c"], [1, 3]),
    "a larger backup between smaller ones": (["a", "a b", "a", "a"], [1, 3]),
    "smaller ones that hold as much together": (["a b", "a", "b"], [1, 2]),
    "one table for another": (["a/orders", "a/log", "a/log"], [0, 2]),
    "a part for the whole": (["a", "a/orders", "a/orders"], [0, 2]),
    "the whole for a part": (["a/orders", "a", "a"], [0, 2]),
    "names that look like filters": (["a with tables ['log']", "a/log", "'a'", "a"], [0, 1, 2, 3]),
}


@pytest.mark.parametrize(("history", "stay"), LIMITED.values(), ids=LIMITED)
def test_only_what_holds_a_database_stands_in_for_what_holds_it(
    place: Destination, history: list[str], stay: list[int]
) -> None:
    ids = [
        taken(
            place,
            day,
            databases=[what] if "'" in what else what.partition("/")[0].split(),
            tables=tuple(filter(None, [what.partition("/")[2]])),
        )
        for day, what in enumerate(history, 1)
    ]
    kept = {ids[number] for number in stay}
    assert {one for one, outcome in outcomes(pruned(place)).items() if outcome == "kept"} == kept
    assert there(place) == kept


def test_an_object_of_all_databases_stands_in_for_those_of_each_and_they_for_it(place: Destination) -> None:
    each, both, one = (
        taken(place, 1, databases=["a", "b"]),
        taken(place, 2, databases=["a", "b"], together=True),
        taken(place, 3, databases=["a"]),
    )
    assert outcomes(pruned(place)) == {one: "kept", both: "kept", each: "deleted"}
    both_again = taken(place, 4, databases=["b", "a"], together=True)
    assert outcomes(pruned(place)) == {both_again: "kept", one: "deleted", both: "deleted"}


def test_what_is_left_of_a_deletion_is_judged_by_what_it_held(place: Destination) -> None:
    lost = taken(place, 1, databases=["billing"])
    taken(place, 2, databases=["metrics"])
    (folder_of(place, lost) / naming.MANIFEST).unlink()
    assert lost not in outcomes(pruned(place))
    assert (folder_of(place, lost) / "billing.dump").exists()


def test_time_is_what_the_manifest_says_and_not_when_a_file_was_written(place: Destination) -> None:
    new, old = taken(place, 9), taken(place, 1)  # the older one was written last
    assert outcomes(pruned(place)) == {new: "kept", old: "deleted"}


def test_incomplete_backups_are_no_reason_to_delete_a_complete_one(place: Destination) -> None:
    whole = taken(place, 1)
    partial = taken(place, 2, missing=("web",))
    assert outcomes(pruned(place)) == {partial: "kept", whole: "kept"}
    newer = taken(place, 3)
    assert outcomes(pruned(place)) == {newer: "kept", partial: "deleted", whole: "deleted"}


def test_encrypted_backups_are_authenticated_and_deleted(place: Destination) -> None:
    old, new = (taken(place, day, key=KEY) for day in (1, 2))
    assert outcomes(pruned(place, keys={KEY.key_id: KEY})) == {new: "kept", old: "deleted"}


def test_foreign_files_beside_the_backups_are_left_alone(place: Destination) -> None:
    old, new = taken(place, 1), taken(place, 2)
    foreign = [folder_of(place, old) / "notes.TXT", Path(place.storage.describe()) / "readme", folder_of(place, "x")]
    for path in foreign:
        path.write_text("mine")
    assert outcomes(pruned(place)) == {new: "kept", old: "deleted"}
    assert all(path.read_text() == "mine" for path in foreign)
    assert sorted(path.name for path in folder_of(place, old).iterdir()) == ["notes.TXT"]


# --- doubt ---


def stopped(place: Destination, report: Retained) -> str:
    """Why nothing was deleted; both backups are still there."""
    assert len(there(place)) == 2
    assert report.backups == ()
    assert report.summary == "nothing was deleted"
    assert report.failure is not None
    return report.failure.reason


def test_a_list_that_fails_deletes_nothing() -> None:
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are root's alone
        Path(root).chmod(0o755)
        place = Destination("nas", Local(LocalConfig(path=Path(root))))
        newest = [taken(place, day) for day in (1, 2)][-1]
        (Path(root) / SLUG).chmod(0o755)
        (folder_of(place, newest)).chmod(0o700)
        with as_nobody():
            report = pruned(place)
        assert "Permission denied" in stopped(place, report)


def test_a_manifest_that_cannot_be_read_deletes_nothing(place: Destination) -> None:
    taken(place, 1)
    damaged = taken(place, 2)
    (folder_of(place, damaged) / naming.MANIFEST).write_bytes(b"{}")
    assert "manifest cannot be read" in stopped(place, pruned(place))


def test_a_manifest_of_a_newer_format_deletes_nothing(place: Destination) -> None:
    changed(place, taken(place, 1), format=2)
    taken(place, 2)
    assert "format 2" in stopped(place, pruned(place))


def changed(place: Destination, backup_id: str, **fields: object) -> None:
    """Change a manifest, as somebody would who can write to the destination."""
    path = folder_of(place, backup_id) / naming.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_manifest_that_was_changed_deletes_nothing(place: Destination) -> None:
    changed(place, taken(place, 1, key=KEY), missing=["web"])
    taken(place, 2, key=KEY)
    assert "was changed" in stopped(place, pruned(place, keys={KEY.key_id: KEY}))


def test_a_plain_manifest_other_than_the_recorded_one_deletes_nothing(place: Destination) -> None:
    changed(place, taken(place, 1), missing=["web"])
    taken(place, 2)
    assert "not the one that was written" in stopped(place, pruned(place))


def test_a_time_that_is_not_the_one_in_the_id_deletes_nothing_even_without_a_catalog(place: Destination) -> None:
    old = taken(place, 1)
    taken(place, 2)
    changed(place, old, started_at="2026-11-23T03:00:00Z")
    catalog().forget_location(old, place.name)
    assert "says that it was started" in stopped(place, pruned(place))


def test_a_key_that_is_not_at_hand_deletes_nothing(place: Destination) -> None:
    for day in (1, 2):
        taken(place, day, key=KEY)
    assert "not available" in stopped(place, pruned(place))


def test_keys_that_cannot_be_fetched_delete_nothing(place: Destination) -> None:
    for day in (1, 2):
        taken(place, day, key=KEY)

    def unavailable() -> Mapping[str, ProfileKey]:
        raise ConfigurationError("the keys cannot be read")

    rules = Rules(Retention.parse(LAST_ONE), ZoneInfo("UTC"), NOW)
    report = retention.apply(place, Series.of(JOB, SOURCE), rules, unavailable)
    assert "the keys cannot be read" in stopped(place, report)


def test_a_pin_that_cannot_be_read_deletes_nothing(place: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (1, 2):
        taken(place, day)

    def cut(*_: object) -> bool:
        raise ConnectionError("the line was cut", hint="try again")

    monkeypatch.setattr(Local, "present", cut)
    assert "cannot be read: the line was cut" in stopped(place, pruned(place))


# --- pins ---


def as_object(lock: Path) -> None:
    lock.write_bytes(b"")


def as_folder(lock: Path) -> None:
    lock.mkdir()


def as_folder_with_something(lock: Path) -> None:
    lock.mkdir()
    (lock / "inside").write_bytes(b"x")


def as_dangling_link(lock: Path) -> None:
    lock.symlink_to("nowhere")


def as_link_to_a_file(lock: Path) -> None:
    lock.symlink_to(lock.parent / naming.MANIFEST)


PINS = [as_object, as_folder, as_folder_with_something, as_dangling_link, as_link_to_a_file]


@pytest.mark.parametrize("pin", PINS)
def test_whatever_has_the_name_of_a_pin_holds_the_backup(place: Destination, pin: Callable[[Path], None]) -> None:
    held, old, new = (taken(place, day) for day in (1, 2, 3))
    pin(folder_of(place, held) / naming.LOCK)
    report = pruned(place)
    assert outcomes(report) == {new: "kept", old: "deleted", held: "kept"}
    assert {one.backup_id: one.reasons for one in report.backups}[held] == ("pinned",)
    folder = stored.find(place.storage, held)
    assert not stored.lock(place.storage, folder)
    with pytest.raises(BackupLocked):
        stored.delete(place.storage, folder)
    assert held in there(place)


def test_a_pin_that_is_no_object_is_not_taken_away_by_the_program(place: Destination) -> None:
    held = taken(place, 1)
    lock = folder_of(place, held) / naming.LOCK
    lock.symlink_to("nowhere")
    with pytest.raises(BackupLocked) as refused:
        stored.unlock(place.storage, stored.find(place.storage, held))
    assert "by hand" in refused.value.hint
    assert lock.is_symlink()


def test_a_pin_set_while_others_are_being_deleted_holds(place: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, new = (taken(place, day) for day in (1, 2, 3))
    delete = stored.delete

    def pinning(storage: Local, folder: stored.Folder) -> None:
        other = first if folder.backup_id == second else second
        if other in there(place) and not (folder_of(place, other) / naming.LOCK).exists():
            as_object(folder_of(place, other) / naming.LOCK)
        delete(storage, folder)

    monkeypatch.setattr(stored, "delete", pinning)
    report = pruned(place)
    assert outcomes(report) == {new: "kept", second: "deleted", first: "due"}
    assert "pinned" in report.backups[-1].reasons[-1]
    assert first in there(place)


# --- deletions that fail ---


def refusing(monkeypatch: pytest.MonkeyPatch, refused: Callable[[str], bool]) -> None:
    delete = Local.delete

    def refuse(self: Local, key: str) -> None:
        if refused(key):
            raise StorageError(f"{key} is kept by a lock of the provider", hint="wait until it ends")
        delete(self, key)

    monkeypatch.setattr(Local, "delete", refuse)


def test_what_cannot_be_deleted_stays_known_and_is_deleted_the_next_time(place: Destination) -> None:
    stuck, gone, new = (taken(place, day) for day in (1, 2, 3))
    with pytest.MonkeyPatch.context() as patch:
        refusing(patch, lambda key: stuck in key)
        report = pruned(place)
    assert outcomes(report) == {new: "kept", gone: "deleted", stuck: "due"}
    assert "kept by a lock" in report.backups[-1].reasons[-1]
    assert (known(stuck), known(gone)) == (True, False)
    assert stuck in there(place)
    assert outcomes(pruned(place)) == {new: "kept", stuck: "deleted"}
    assert not known(stuck)


def test_a_deletion_cut_in_the_middle_leaves_an_unfinished_backup_and_is_finished_the_next_time(
    place: Destination,
) -> None:
    old, new = taken(place, 1), taken(place, 2)
    with pytest.MonkeyPatch.context() as patch:
        refusing(patch, lambda key: key.endswith(".dump"))
        assert outcomes(pruned(place)) == {new: "kept", old: "due"}
    assert [path.name for path in folder_of(place, old).iterdir()] == ["shop.dump"]
    assert there(place) == {new}
    assert known(old)
    with pytest.raises(BackupNotFound):
        stored.resolve(place.storage, old)
    report = pruned(place)
    assert outcomes(report) == {new: "kept", old: "deleted"}
    assert report.backups[-1].reasons == ("an earlier deletion was cut short",)
    assert not folder_of(place, old).exists()
    assert not known(old)


def test_a_backup_under_way_and_one_that_lost_its_manifest_are_left_alone(place: Destination) -> None:
    lost, new = taken(place, 1), taken(place, 2)
    (folder_of(place, lost) / naming.MANIFEST).unlink()
    running = naming.new_backup_id(NOW - timedelta(minutes=1))
    place.storage.put(f"{SLUG}/{running}/shop.dump", [b"half"])
    assert outcomes(pruned(place, "last=5,min_keep=1")) == {new: "kept"}
    assert (folder_of(place, lost) / "shop.dump").exists()
    assert (folder_of(place, running) / "shop.dump").exists()
    assert outcomes(pruned(place, "last=1,min_keep=1")) == {new: "kept", lost: "deleted"}
    assert (folder_of(place, running) / "shop.dump").exists()


def test_a_catalog_that_fails_keeps_nothing_from_being_deleted(
    place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = taken(place, 1), taken(place, 2)

    def broken() -> None:
        raise ConfigurationError("the catalog cannot be used")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "catalog", broken)
        patch.setattr(candidates, "catalog", broken)
        assert outcomes(pruned(place)) == {new: "kept", old: "deleted"}
    assert known(old)


# --- two at once ---


def test_two_at_once_delete_the_same_and_no_more(place: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [taken(place, day) for day in range(1, 21)]
    both, read, reports = Barrier(2), stored.folders, list[Retained]()

    def together(*arguments: object) -> list[stored.Folder]:
        found = read(*arguments)  # type: ignore[arg-type]
        both.wait(30)  # both have seen all of them
        return found

    monkeypatch.setattr(stored, "folders", together)
    runs = [Thread(target=lambda: reports.append(pruned(place, "last=4,min_keep=1"))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    monkeypatch.undo()
    assert len(reports) == 2
    assert there(place) == set(ids[-4:])
    assert {one.outcome for report in reports for one in report.backups if one.backup_id in ids[:-4]} == {"deleted"}
    assert sorted(path.name for path in folder_of(place, "x").parent.iterdir()) == sorted(ids[-4:])
