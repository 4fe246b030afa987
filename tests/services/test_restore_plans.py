"""A plan says what a restore would do and what stands against it, and changes nothing."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.container import ProfileKey
from core.errors import BackupNotFound, ConfigurationError, RestoreError, TamperedManifest, WrongKey
from core.manifest import Contents, FileEncryption, Manifest, ManifestFile, SourceDescription
from core.naming import backup_folder, job_slug, manifest_key
from core.ports import RestoreTarget
from services.backups import saved_job
from services.restore_plans import Place, RestorePlan, plan
from services.restores import Wish
from tests.fakes.database import MemoryDatabase, MemoryServer
from tests.fakes.storage import MemoryStorage

KEY = ProfileKey("production", bytes(range(32)))
BACKUP = "20261101T030000Z-0000aa"
MOMENT = datetime(2026, 11, 1, 3, tzinfo=UTC)


def dumped(database: str, key: ProfileKey | None) -> ManifestFile:
    return ManifestFile(
        name=f"{database}.sql.zst{'.enc' if key else ''}",
        database=database,
        kind="database",
        dump_format="sql",
        compression="zstd",
        encryption=FileEncryption(profile=key.profile, key_id=key.key_id) if key else None,
        size=500,
        sha256="0" * 64,
        dump_size=4000,
        contents=Contents(tables=2, rows={"a": 40, "b": 2}),
    )


def stored(
    *databases: str, version: str = "1.0", key: ProfileKey | None = None, missing: tuple[str, ...] = ()
) -> bytes:
    return Manifest(
        backup_id=BACKUP,
        job=saved_job("nightly"),
        source=SourceDescription(name="shop", engine="memory", server_version=version, tool="memory 1.0"),
        trigger="manual",
        started_at=MOMENT,
        finished_at=MOMENT,
        files=tuple(dumped(name, key) for name in databases),
        missing=missing,
    ).to_bytes(key)


class Stage:
    """A storage with one backup, and a server that has a shop today."""

    def __init__(self, written: bytes, scratch: Path) -> None:
        folder = backup_folder(job_slug("nightly", saved_job("nightly").id), BACKUP)
        self.storage = MemoryStorage({manifest_key(folder): (written, MOMENT)})
        self.server = MemoryServer({"shop": {"orders": [(1, "one")]}})
        self.scratch = scratch

    def plan(self, wish: Wish, *keys: ProfileKey, accept: bool = False) -> RestorePlan:
        place = Place(self.storage, MemoryDatabase(self.server), self.scratch / "not there yet")
        return plan(place, BACKUP, wish, {key.key_id: key for key in keys}, accept_tampered=accept)


@pytest.fixture(autouse=True)
def own_home(home: Path) -> None:
    """Whose backups these are is asked of the catalog."""


def test_a_new_name_touches_nothing_that_exists(tmp_path: Path) -> None:
    found = Stage(stored("shop"), tmp_path).plan(Wish(names={"shop": "shop_restored"}))
    assert found.overwritten == ()
    assert found.is_possible
    assert [step.sentence for step in found.steps] == [
        "shop (2 tables, 42 rows) is restored as shop_restored, which does not exist yet."
    ]


def test_what_exists_is_named_with_its_size_before_it_is_overwritten(tmp_path: Path) -> None:
    found = Stage(stored("shop"), tmp_path).plan(Wish())
    assert found.overwritten == ("shop",)
    (step,) = found.steps
    assert step.today is not None
    assert step.today.tables == 1
    assert "restored beside shop, compared with the backup, and only then takes its place" in step.sentence


def test_each_of_several_databases_has_its_own_name_and_sentence(tmp_path: Path) -> None:
    stage = Stage(stored("shop", "wiki", "billing"), tmp_path)
    found = stage.plan(Wish(names={"shop": "", "wiki": "old_wiki"}))
    assert [(step.dumped, step.label, step.exists) for step in found.steps] == [
        ("shop", "shop", True),
        ("wiki", "old_wiki", False),
    ]
    assert len(stage.plan(Wish()).steps) == 3


def test_two_databases_never_become_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="two databases would become one: shop"):
        Stage(stored("shop", "wiki"), tmp_path).plan(Wish(names={"shop": "", "wiki": "shop"}))


def test_a_database_that_is_not_in_the_backup_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BackupNotFound, match="'crm'"):
        Stage(stored("shop"), tmp_path).plan(Wish(names={"crm": ""}))


def test_looking_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(stored("shop"), tmp_path)
    before = copy.deepcopy((stage.server.databases, stage.storage.objects))
    stage.plan(Wish(overwrite=True))
    assert (stage.server.databases, stage.storage.objects) == before
    assert list(tmp_path.iterdir()) == []


def test_an_older_target_and_a_partial_backup_are_remarked_on(tmp_path: Path) -> None:
    first, second = Stage(stored("shop", version="12.4", missing=("wiki",)), tmp_path).plan(Wish()).remarks
    assert "memory 1.0, older than the 12.4" in first
    assert second.endswith("never held: wiki.")
    assert Stage(stored("shop", version="1.9"), tmp_path).plan(Wish()).remarks == ()


def test_a_key_that_is_not_here_is_known_before_anything_is_begun(tmp_path: Path) -> None:
    stage = Stage(stored("shop", key=KEY), tmp_path)
    with pytest.raises(WrongKey):
        stage.plan(Wish())
    assert stage.plan(Wish(), KEY).is_possible


def test_a_changed_manifest_is_refused_unless_that_is_accepted(tmp_path: Path) -> None:
    stage = Stage(stored("shop", key=KEY).replace(b'"a":40', b'"a":41'), tmp_path)
    with pytest.raises(TamperedManifest):
        stage.plan(Wish(), KEY)
    (remark,) = stage.plan(Wish(), KEY, accept=True).remarks
    assert "may not be genuine" in remark


def test_what_stands_against_one_database_is_told_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: MemoryDatabase, target: RestoreTarget) -> None:
        if target.database == "wiki":
            raise RestoreError("the server lacks roles", hint="create them")

    monkeypatch.setattr(MemoryDatabase, "check_restore", refuse)
    found = Stage(stored("shop", "wiki"), tmp_path).plan(Wish())
    assert [step.problem.reason if step.problem else None for step in found.steps] == [None, "the server lacks roles"]
    assert not found.is_possible
