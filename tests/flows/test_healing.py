"""What one destination missed is brought there from another, proven again, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actions import backups as stored_backups
from actions.door import LOCAL_ADMINISTRATOR
from adapters.storage.local import Local
from core import naming
from core.errors import BackupError, BackupNotFound, ConnectionError, RunFailed
from core.jobs import Address, IntegritySpec, JobSpec
from core.reports import BackupReport, HealReport
from core.retention import Retention
from core.states import RunState
from core.streams import Chunks
from flows.backup import backup
from flows.heal import heal
from flows.integrity import integrity
from services.records import catalog
from tests.disks import read_only
from tests.flows.shop import files_below, job
from tests.servers.postgresql import Server
from tests.waiting import until


@pytest.fixture
def two(shop: Path, tmp_path: Path) -> JobSpec:
    """A job with two destinations, of a name that no other test uses."""
    return job(shop, tmp_path / "near", tmp_path / "far", name=f"heal-{tmp_path.name}")


def partial(wish: JobSpec, far: Path) -> BackupReport:
    """A backup that reaches only the near destination."""
    far.mkdir(exist_ok=True)
    with read_only(far), pytest.raises(RunFailed) as caught:
        backup(wish)
    report = caught.value.report
    assert isinstance(report, BackupReport)
    assert report.state is RunState.PARTIAL
    return report


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_next_run_brings_what_is_owed_without_another_dump(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    report = backup(two)
    assert report.state is RunState.SUCCESS
    (healed,) = report.healed
    assert (healed.backup_id, healed.complete) == (missed.backup_id, True)
    assert healed.origin == str(tmp_path / "near")
    assert content(tmp_path / "far" / missed.folder) == content(tmp_path / "near" / missed.folder)
    assert catalog().find(missed.backup_id).storages == (str(tmp_path / "far"), str(tmp_path / "near"))
    assert backup(two).healed == ()


def test_healing_by_hand_touches_no_database(two: JobSpec, shop: Path, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    shop.unlink()
    report = heal(two)
    assert report.state is RunState.SUCCESS
    checked = integrity(IntegritySpec(storages=(Address(f"file://{tmp_path}/far"),), backup=missed.backup_id))
    assert [one.outcome for one in checked.checked] == ["passed"]
    assert heal(two).healed == ()


def test_a_destination_that_is_still_away_stays_owed(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    with read_only(tmp_path / "far"), pytest.raises(RunFailed) as caught:
        heal(two)
    report = caught.value.report
    assert isinstance(report, HealReport)
    assert [(one.backup_id, one.complete) for one in report.healed] == [(missed.backup_id, False)]
    assert heal(two).healed[0].complete


def test_what_retention_would_delete_at_once_is_written_off_and_not_copied(two: JobSpec, tmp_path: Path) -> None:
    strict = two.model_copy(update={"keep": Retention.parse("last=1,min_keep=1")})
    missed = partial(two, tmp_path / "far")
    begun = datetime.now(UTC).replace(microsecond=0)
    until(lambda: datetime.now(UTC).replace(microsecond=0) > begun, "the next second")
    report = backup(strict)
    (healed,) = report.healed
    assert (healed.backup_id, healed.complete, healed.written_off) == (missed.backup_id, False, True)
    assert "retention would delete it there at once: no rule keeps it" in healed.reason
    assert (report.state, report.also_wrong) == (RunState.SUCCESS, ())
    assert not (tmp_path / "far" / missed.folder).exists()
    assert heal(strict).healed == ()


def test_of_many_owed_copies_only_those_are_made_that_will_stay(two: JobSpec, tmp_path: Path) -> None:
    missed = []
    for _ in range(3):
        begun = datetime.now(UTC).replace(microsecond=0)
        until(lambda begun=begun: datetime.now(UTC).replace(microsecond=0) > begun, "the next second")
        missed.append(partial(two, tmp_path / "far"))
    healed = heal(two.model_copy(update={"keep": Retention.parse("last=2,min_keep=1")})).healed
    assert [(one.backup_id, one.complete, one.written_off) for one in healed] == [
        (missed[2].backup_id, True, False),
        (missed[1].backup_id, True, False),
        (missed[0].backup_id, False, True),
    ]


def test_where_retention_cannot_decide_the_copy_is_made(two: JobSpec, tmp_path: Path) -> None:
    damaged = backup(two)
    (tmp_path / "far" / damaged.folder / naming.MANIFEST).write_bytes(b"{}")
    missed = partial(two, tmp_path / "far")
    (healed,) = heal(two.model_copy(update={"keep": Retention.parse("last=1,min_keep=1")})).healed
    assert (healed.backup_id, healed.complete) == (missed.backup_id, True)


def test_a_backup_that_somebody_deleted_is_not_brought_back(two: JobSpec, tmp_path: Path) -> None:
    whole = backup(two)
    far = Address(f"file://{tmp_path}/far")
    stored_backups.delete(LOCAL_ADMINISTRATOR, whole.backup_id, far)
    assert heal(two).healed == ()
    assert backup(two).healed == ()
    assert not (tmp_path / "far" / whole.folder).exists()


def without_the_last(shop: Path, tmp_path: Path) -> tuple[JobSpec, BackupReport]:
    """A job with three destinations, and a backup that did not reach the last."""
    wish = job(shop, *(tmp_path / name for name in ("first", "second", "far")), name=f"heal-{tmp_path.name}")
    return wish, partial(wish, tmp_path / "far")


def spoil_data(folder: Path) -> None:
    (data,) = folder.glob("*.zst")
    data.write_bytes(data.read_bytes()[:-1] + b"?")


def spoil_manifest(folder: Path) -> None:
    (folder / naming.MANIFEST).write_bytes(b"{}")


def lose_data(folder: Path) -> None:
    (data,) = folder.glob("*.zst")
    data.unlink()


@pytest.mark.parametrize("spoil", [spoil_data, spoil_manifest, lose_data, shutil.rmtree])
def test_an_origin_that_is_damaged_does_not_stand_in_the_way_of_a_whole_one(
    shop: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    wish, missed = without_the_last(shop, tmp_path)
    spoil(tmp_path / "first" / missed.folder)
    (healed,) = heal(wish).healed
    assert (healed.origin, healed.complete) == (str(tmp_path / "second"), True)
    assert content(tmp_path / "far" / missed.folder) == content(tmp_path / "second" / missed.folder)


def test_what_stays_owed_is_so_because_of_damage_though_another_origin_lost_it(shop: Path, tmp_path: Path) -> None:
    wish, missed = without_the_last(shop, tmp_path)
    spoil_data(tmp_path / "first" / missed.folder)
    shutil.rmtree(tmp_path / "second" / missed.folder)
    for _ in range(2):  # it stays owed: it is there, and somebody may mend it
        with pytest.raises(RunFailed, match="not what was written"):
            heal(wish)


def test_a_copy_that_is_there_already_is_known_before_it_is_owed_no_longer(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    shutil.copytree(tmp_path / "near" / missed.folder, tmp_path / "far" / missed.folder)
    (healed,) = heal(two).healed
    assert (healed.origin, healed.complete) == (str(tmp_path / "far"), True)
    assert catalog().find(missed.backup_id).storages == (str(tmp_path / "far"), str(tmp_path / "near"))


@pytest.mark.parametrize("begun", [False, True], ids=["nothing of it there", "a part of it there"])
def test_an_owed_copy_that_somebody_deleted_is_not_brought(two: JobSpec, tmp_path: Path, begun: bool) -> None:
    missed = partial(two, tmp_path / "far")
    far = Address(f"file://{tmp_path}/far")
    if begun:
        shutil.copytree(tmp_path / "near" / missed.folder, tmp_path / "far" / missed.folder)
        (tmp_path / "far" / missed.folder / naming.MANIFEST).unlink()
    assert stored_backups.delete(LOCAL_ADMINISTRATOR, missed.backup_id, far) == missed.backup_id
    assert heal(two).healed == ()
    assert files_below(tmp_path / "far") == []
    with pytest.raises(BackupNotFound):
        stored_backups.delete(LOCAL_ADMINISTRATOR, missed.backup_id, far)


def test_a_damaged_origin_is_not_spread(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    (data,) = (tmp_path / "near" / missed.folder).glob("*.zst")
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    with pytest.raises(RunFailed) as caught:
        heal(two)
    assert "not what was written" in str(caught.value)
    assert files_below(tmp_path / "far") == []


def test_what_is_left_of_a_copy_that_broke_off_is_not_trusted(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    (data,) = (tmp_path / "near" / missed.folder).glob("*.zst")
    (tmp_path / "far" / missed.folder).mkdir(parents=True)
    (tmp_path / "far" / missed.folder / data.name).write_bytes(b"half of it")
    assert heal(two).healed[0].complete
    assert content(tmp_path / "far" / missed.folder) == content(tmp_path / "near" / missed.folder)


def test_a_copy_that_no_destination_holds_any_more_is_owed_no_longer(two: JobSpec, tmp_path: Path) -> None:
    missed = partial(two, tmp_path / "far")
    shutil.rmtree(tmp_path / "near" / missed.folder)
    with pytest.raises(RunFailed, match="none of the destinations"):
        heal(two)
    assert heal(two).healed == ()


def test_a_spool_in_memory_reaches_every_destination_and_no_disk_on_the_way(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        pytest.fail("a spool was made on disk")

    monkeypatch.setattr("services.spool.Spool.__init__", refused)
    report = backup(job(shop, tmp_path / "near", tmp_path / "far", spool="memory"))
    assert report.state is RunState.SUCCESS
    assert content(tmp_path / "far" / report.folder) == content(tmp_path / "near" / report.folder)


def test_with_a_spool_in_memory_a_destination_that_fails_takes_no_other_with_it(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    with read_only(tmp_path / "far"), pytest.raises(RunFailed) as caught:
        backup(job(shop, tmp_path / "near", tmp_path / "far", spool="memory"))
    report = caught.value.report
    assert isinstance(report, BackupReport)
    assert report.state is RunState.PARTIAL
    assert [copy.complete for copy in sorted(report.copies, key=lambda copy: copy.storage)] == [False, True]


def test_an_upload_whose_answer_was_lost_is_not_taken_for_a_failure(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, lost = Local.put, []

    def put_and_hang_up(self: Local, key: str, chunks: Chunks) -> None:
        put(self, key, chunks)
        if key.endswith(".zst") and not lost:
            lost.append(key)
            raise ConnectionError("the line was cut after the last byte")

    monkeypatch.setattr(Local, "put", put_and_hang_up)
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.1)
    report = backup(job(shop, tmp_path / "near", tmp_path / "far", retries=1))
    assert lost
    assert report.state is RunState.SUCCESS


def test_what_somebody_else_has_put_in_the_place_of_an_object_is_not_taken_for_it(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Local.put

    def put_after_another(self: Local, key: str, chunks: Chunks) -> None:
        if key.endswith(".zst"):
            put(self, key, [b"planted"])
        put(self, key, chunks)

    monkeypatch.setattr(Local, "put", put_after_another)
    with pytest.raises(RunFailed) as caught:
        backup(job(shop, tmp_path / "near", tmp_path / "far"))
    report = caught.value.report
    assert isinstance(report, BackupReport)
    far = next(copy for copy in report.copies if copy.storage == str(tmp_path / "far"))
    assert not far.complete


def test_a_copy_counts_as_soon_as_it_is_proven_whatever_the_others_do(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, near_counts = Local.put, []

    def slow_when_far(self: Local, key: str, chunks: Chunks) -> None:
        if str(tmp_path / "far") == self.describe() and key.endswith(".zst"):
            until(lambda: list((tmp_path / "near").rglob("backup.meta.json")), "the near copy to count")
            near_counts.append(key)
        put(self, key, chunks)

    monkeypatch.setattr(Local, "put", slow_when_far)
    assert backup(job(shop, tmp_path / "near", tmp_path / "far")).state is RunState.SUCCESS
    assert near_counts


@pytest.mark.parametrize("stored", [False, True], ids=["nothing was stored", "only the answer was lost"])
def test_a_manifest_is_tried_again_like_everything_else(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    put, cut = Local.put, []

    def cut_at_the_manifest(self: Local, key: str, chunks: Chunks) -> None:
        if key.endswith("backup.meta.json") and not cut:
            cut.append(key)
            if stored:
                put(self, key, chunks)
            raise ConnectionError("the line was cut")
        put(self, key, chunks)

    monkeypatch.setattr(Local, "put", cut_at_the_manifest)
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.1)
    report = backup(job(shop, tmp_path / "near", retries=1))
    assert cut
    assert report.state is RunState.SUCCESS
    assert catalog().find(report.backup_id).storages == (str(tmp_path / "near"),)


def test_a_fault_of_healing_changes_nothing_about_the_backup(
    two: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = partial(two, tmp_path / "far")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.healing.healing.heal", broken)
        report = backup(two)
    assert report.state is RunState.SUCCESS
    assert [copy.complete for copy in report.copies] == [True, True]
    assert "what earlier runs owe: unexpected RuntimeError" in str(report.also_wrong[0])
    assert [one.backup_id for one in backup(two).healed] == [missed.backup_id]


def test_a_job_never_overlaps_itself(two: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, refused = Local.put, []

    def again_meanwhile(self: Local, key: str, chunks: Chunks) -> None:
        if not refused and key.endswith(".zst"):
            with pytest.raises(BackupError, match="running already") as caught:
                copy_context().run(backup, two)
            refused.append(caught.value)
        put(self, key, chunks)

    monkeypatch.setattr(Local, "put", again_meanwhile)
    assert backup(two).state is RunState.SUCCESS
    assert not refused[0].permanent


def test_a_spool_in_memory_is_bounded_for_all_databases_together(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        postgresql.create(name)
    under_way, most, put = set[str](), [0], Local.put

    def counted(self: Local, key: str, chunks: Chunks) -> None:
        under_way.add(key)
        most.append(len(under_way))
        put(self, key, chunks)
        under_way.discard(key)

    monkeypatch.setattr(Local, "put", counted)
    backup(job(postgresql.url(), tmp_path / "near", spool="memory"))
    assert max(most) == 1
