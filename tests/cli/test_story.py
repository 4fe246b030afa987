"""What a user does, from the first name saved to the last backup deleted, by the installed command."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.exits import PARTIAL, USAGE
from cli.keys import KIT_WARNING
from core.manifest import JobReference, Manifest, SourceDescription
from core.naming import new_backup_id
from services.records import catalog
from tests.cli.conftest import COMMAND, Dbackup


@dataclass(frozen=True)
class Scene:
    """A saved source and a saved storage, an encryption profile, and one backup made with them."""

    source: str
    storage: str
    profile: str
    folder: Path
    backup_id: str


@pytest.fixture
def scene(dbackup: Dbackup, shop: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    tag = re.sub("[^a-z]+", "-", request.node.name.lower())[-20:].strip("-")
    source, storage, profile = f"s-{tag}", f"d-{tag}", f"p-{tag}"
    dbackup.succeeds("source", "add", source, shop)
    dbackup.succeeds("storage", "add", storage, tmp_path / "backups")
    dbackup.succeeds("key", "create", profile)
    report = dbackup.succeeds("backup", source, "--to", storage, "--profile", profile)
    yield Scene(source, storage, profile, tmp_path / "backups", report["backup_id"])
    dbackup.succeeds("source", "remove", source)
    dbackup.succeeds("storage", "remove", storage)


def rows(path: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, note FROM orders ORDER BY id").fetchall()


def test_a_backup_is_listed_shown_verified_and_restored_whole(
    dbackup: Dbackup, scene: Scene, shop: Path, tmp_path: Path
) -> None:
    assert known(dbackup)[scene.backup_id] == {scene.storage}
    assert [one["profile"] for one in dbackup.succeeds("list", "--at", scene.folder)["backups"]] == [scene.profile]
    assert dbackup.succeeds("show", scene.backup_id)["files"][0]["contents"]["rows"] == {"orders": 2000}
    checked = dbackup.succeeds("verify", f"{scene.source}/latest", "--at", scene.storage)["checked"]
    assert [(one["backup_id"], one["outcome"]) for one in checked] == [(scene.backup_id, "passed")]
    dbackup.succeeds("restore", scene.backup_id, "--at", scene.storage, "--into", tmp_path / "back.db")
    assert rows(tmp_path / "back.db") == rows(shop)


def test_a_pinned_backup_is_not_deleted_and_a_deleted_one_is_gone(dbackup: Dbackup, scene: Scene) -> None:
    at = ("--at", scene.storage)
    assert dbackup.succeeds("lock", scene.backup_id, *at)["changed"] is True
    assert dbackup.succeeds("lock", scene.backup_id, *at)["changed"] is False
    refused = dbackup("delete", scene.backup_id, *at, "--yes")
    assert (refused.code, "dbackup unlock" in refused.err) == (1, True)
    dbackup.succeeds("unlock", scene.backup_id, *at)
    assert dbackup("delete", scene.backup_id, *at).code == USAGE, "without a terminal, --yes is required"
    assert dbackup.succeeds("delete", scene.backup_id, *at, "--yes") == {"deleted": scene.backup_id}
    assert dbackup.succeeds("list", *at) == {"backups": [], "more": False}
    assert scene.backup_id not in known(dbackup)


def test_the_catalog_is_rebuilt_from_the_destinations(dbackup: Dbackup, scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scene.folder, copy)
    assert dbackup.succeeds("catalog", "rebuild", "--at", copy) == {"copies": 1, "problems": []}
    assert known(dbackup)[scene.backup_id] == {scene.storage, str(copy)}
    for job in copy.glob("[!.]*"):
        shutil.rmtree(job)
    assert dbackup.succeeds("catalog", "rebuild", "--at", copy) == {"copies": 0, "problems": []}
    assert known(dbackup)[scene.backup_id] == {scene.storage}
    assert dbackup.succeeds("catalog", "rebuild")["copies"] >= 1, "without --at, every saved storage is read"


def known(dbackup: Dbackup) -> dict[str, set[str]]:
    """What the catalog knows: the storages of each backup."""
    return {one["backup_id"]: set(one["storages"]) for one in dbackup.succeeds("list")["backups"]}


def test_one_dead_destination_of_two_is_partial_and_told(dbackup: Dbackup, shop: Path, tmp_path: Path) -> None:
    arguments = ("backup", shop, "--to", tmp_path / "good", "--to", "/proc/nowhere", "--retries", 0)
    answer = dbackup(*arguments, "--json")
    assert answer.code == PARTIAL
    assert [copy["complete"] for copy in answer.json["copies"]] == [True, False]
    assert answer.json["error"]["message"]
    told = dbackup(*arguments)
    assert told.code == PARTIAL
    assert "PARTIAL" in told.out
    assert "not encrypted; add --profile NAME" in told.out
    assert told.err.startswith("! /proc/nowhere: ")


def test_nothing_is_overwritten_unless_it_is_said(dbackup: Dbackup, scene: Scene, shop: Path) -> None:
    wish = ("restore", "latest", "--at", scene.folder, "--into", shop)
    before = rows(shop)
    refused = dbackup(*wish)
    assert (refused.code, "--overwrite" in refused.err) == (1, True)
    with closing(sqlite3.connect(shop)) as connection, connection:
        connection.execute("DELETE FROM orders")
    dbackup.succeeds(*wish, "--overwrite")
    assert rows(shop) == before


def test_the_recovery_kit_warns_and_brings_keys_back(dbackup: Dbackup, scene: Scene, tmp_path: Path) -> None:
    kit = tmp_path / "kit.zip"
    rotated = dbackup.succeeds("key", "rotate", scene.profile)
    assert len(rotated["key_ids"]) == 2
    told = dbackup("key", "recovery-kit", scene.profile, "--out", kit)
    assert told.code == 0
    assert KIT_WARNING in told.err
    assert "keys.json" in zipfile.ZipFile(kit).namelist()
    assert dbackup("key", "recovery-kit", scene.profile, "--out", kit).code == 1, "a kit is never overwritten"
    (brought,) = dbackup.succeeds("key", "import", kit)["profiles"]
    assert brought["key_ids"] == rotated["key_ids"]
    profiles = dbackup.succeeds("key", "list")["profiles"]
    assert rotated in profiles


def test_a_file_that_is_no_recovery_kit_is_said_to_be_none(dbackup: Dbackup, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"\xdf\x00 not a kit")
    answer = dbackup("key", "import", tmp_path / "other")
    assert answer.code == 1
    assert "give a recovery kit" in answer.err


def test_verify_tells_a_damaged_backup_and_why(dbackup: Dbackup, scene: Scene) -> None:
    (damaged,) = scene.folder.glob("*/*/*.enc")
    damaged.chmod(0o600)
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    answer = dbackup("verify", "--all", "--at", scene.folder, "--json")
    assert answer.code == 1
    assert [one["outcome"] for one in answer.json["checked"]] == ["failed"]
    assert answer.json["checked"][0]["reason"] in answer.err


def test_the_doctor_is_content_here_and_names_what_is_wrong(dbackup: Dbackup, scene: Scene, shop: Path) -> None:
    assert all(one["good"] for one in dbackup.succeeds("doctor")["findings"] if scene.source in one["subject"])
    shop.unlink()
    answer = dbackup("doctor")
    assert answer.code == 1
    (line,) = (one for one in answer.out.splitlines() if scene.source in one)
    assert line.startswith("✗")
    assert "→" in answer.out


def test_verbose_shows_the_lines_of_the_run_on_standard_error(dbackup: Dbackup, shop: Path, tmp_path: Path) -> None:
    answer = dbackup.apart("backup", shop, "--to", tmp_path / "b", "--verbose", "--json")
    assert answer.json["state"] == "SUCCESS"
    assert "dump finished" in answer.err
    assert "Task run" not in answer.err, "Prefect is silent"


def test_without_a_terminal_a_success_says_nothing_on_standard_error(
    dbackup: Dbackup, shop: Path, tmp_path: Path
) -> None:
    answer = dbackup.apart("backup", shop, "--to", tmp_path / "b")
    assert (answer.code, answer.err) == (0, "")
    assert "SUCCESS" in answer.out


def test_a_saved_storage_whose_disk_is_not_mounted_fails_and_nothing_is_written(
    dbackup: Dbackup, scene: Scene, tmp_path: Path
) -> None:
    disk = tmp_path / "backups"
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    for command in (["backup", scene.source, "--to", scene.storage], ["verify", "--all", "--at", scene.storage]):
        answer = dbackup(*command)
        assert answer.code == 1
        assert "is its disk mounted?" in answer.err
    assert list(disk.iterdir()) == []


def test_what_killed_runs_have_left_is_shown_then_removed(dbackup: Dbackup, scene: Scene) -> None:
    [job] = scene.folder.glob("[!.]*")
    abandoned = job / "20200102T030405Z-abcdef"
    abandoned.mkdir()
    (abandoned / "shop.db").write_bytes(b"half")
    os.utime(abandoned / "shop.db", (0, 0))
    shown = dbackup.succeeds("clean", "--at", scene.storage, "--dry-run")
    assert [one["key"] for one in shown["leftovers"]] == [f"{job.name}/{abandoned.name}"]
    assert abandoned.exists()
    assert dbackup("clean", "--at", scene.storage).code == 0
    assert not abandoned.exists()
    assert dbackup.succeeds("clean", "--at", scene.storage)["leftovers"] == []
    assert (job / scene.backup_id / "backup.meta.json").exists()


def test_a_rebuild_that_could_not_read_everything_says_so_and_forgets_nothing(dbackup: Dbackup, scene: Scene) -> None:
    [written] = scene.folder.rglob("backup.meta.json")
    written.chmod(0o600)
    written.write_bytes(b"not a manifest")
    answer = dbackup("catalog", "rebuild", "--at", scene.storage, "--json")
    assert (answer.code, answer.json["copies"], len(answer.json["problems"])) == (PARTIAL, 0, 1)
    assert known(dbackup)[scene.backup_id] == {scene.storage}


def test_a_list_is_whole_unless_a_limit_is_given_and_then_says_that_it_was_cut(
    dbackup: Dbackup, home: Path, tmp_path: Path
) -> None:
    moment, number = datetime(2026, 11, 24, 3, tzinfo=UTC), 1005
    made = [catalogued("many", moment + timedelta(minutes=one)) for one in range(number)]
    mine = ("list", "--job", "many")
    try:
        whole = dbackup.succeeds(*mine)
        assert [one["backup_id"] for one in whole["backups"]] == made[::-1]
        assert whole["more"] is False
        assert len(dbackup.succeeds("list")["backups"]) >= number
        cut = dbackup(*mine, "--limit", 3, "--json")
        assert [one["backup_id"] for one in cut.json["backups"]] == made[:-4:-1]
        assert cut.json["more"] is True
        assert "only the newest 3 are listed, there are more" in cut.err
        assert "there are more" not in dbackup(*mine, "--limit", number).err
        assert dbackup(*mine, "--limit", 0).code == USAGE
    finally:
        for backup_id in made:
            catalog().forget_location(backup_id, "nowhere")


def test_a_list_of_one_job_on_a_destination_holds_what_cannot_be_read_of_it(
    dbackup: Dbackup, shop: Path, tmp_path: Path
) -> None:
    at = tmp_path / "backups"
    first, second, _ = (
        dbackup.succeeds("backup", shop, "--to", at, "--name", name)["backup_id"] for name in ("a", "a", "b")
    )
    [written] = at.glob(f"*/{first}/backup.meta.json")
    written.chmod(0o600)
    written.write_bytes(b"not a manifest")
    listed = dbackup.succeeds("list", "--at", at, "--job", "a")["backups"]
    assert {one["backup_id"]: bool(one["problem"]) for one in listed} == {first: True, second: False}
    [newest] = dbackup.succeeds("list", "--at", at, "--job", written.parent.parent.name, "--limit", 1)["backups"]
    assert newest["job"].startswith("a")


def test_a_backup_that_cannot_be_read_is_asked_about_by_its_id_and_deleted(dbackup: Dbackup, scene: Scene) -> None:
    [written] = scene.folder.rglob("backup.meta.json")
    written.chmod(0o600)
    written.write_bytes(b"not a manifest")
    terminal, typed = pty.openpty()
    os.write(terminal, b"y\n")
    command = [COMMAND, "delete", scene.backup_id, "--at", scene.storage]
    done = subprocess.run(command, stdin=typed, capture_output=True, text=True, timeout=200, check=False)
    os.close(typed)
    os.close(terminal)
    assert (done.returncode, f"Delete {scene.backup_id} in {written.parent.parent.name}" in done.stderr) == (0, True)
    assert not written.exists()


def catalogued(job: str, moment: datetime) -> str:
    """A backup that only the catalog knows of; gives its id."""
    manifest = Manifest(
        backup_id=new_backup_id(moment), job=JobReference(id=job, name=job), trigger="manual", files=(),
        source=SourceDescription(name="s", engine="sqlite", server_version="3", tool="t"),
        started_at=moment, finished_at=moment,
    )  # fmt: skip
    catalog().record(manifest, manifest.to_bytes(), storage="nowhere", folder=f"{job}/{manifest.backup_id}")
    return manifest.backup_id
