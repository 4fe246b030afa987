"""What else may lie on a destination: files of others, backups of a newer program, and what another run writes now."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.exits import FAILED
from tests.cli.conftest import Answer, Dbackup


def manifests(folder: Path) -> list[Path]:
    return sorted(folder.rglob("backup.meta.json"))


@pytest.fixture
def backups(dbackup: Dbackup, shop: Path, tmp_path: Path) -> Path:
    """A destination with one backup."""
    dbackup.succeeds("backup", shop, "--to", tmp_path / "backups")
    return tmp_path / "backups"


def test_a_backup_of_a_newer_program_is_named_and_neither_restored_nor_deleted(
    dbackup: Dbackup, shop: Path, backups: Path, tmp_path: Path
) -> None:
    [written] = manifests(backups)
    written.chmod(0o600)
    newer = written.read_bytes().replace(b'"format":1', b'"format":2')
    written.write_bytes(newer)
    backup_id = written.parent.name
    [row] = dbackup.succeeds("list", "--at", backups)["backups"]
    assert (row["backup_id"], "format 2" in row["problem"]) == (backup_id, True)
    refused = dbackup("restore", backup_id, "--at", backups, "--into", tmp_path / "again.db")
    assert refused.code == FAILED
    assert "format 2" in refused.err
    assert "newer" in refused.err
    assert not (tmp_path / "again.db").exists()
    assert dbackup("verify", "--all", "--at", backups).code == FAILED
    kept = dbackup.succeeds("backup", shop, "--to", backups, "--keep", "last=1,min_keep=1")
    assert kept["state"] == "SUCCESS"
    assert written.read_bytes() == newer
    assert len(manifests(backups)) == 2


def test_files_of_others_are_told_of_and_left_as_they_are(dbackup: Dbackup, shop: Path, backups: Path) -> None:
    [written] = manifests(backups)
    job = written.parent.parent
    strange = {
        backups / "README.txt": b"hands off",
        backups / "photos" / "2026" / "cat.jpg": b"cat",
        job / "notes.txt": b"of the job",
        job / "20200102T030405Z-nothex" / "shop.db": b"half",
        written.parent / "what is this": b"?",
    }
    for path, content in strange.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert len(dbackup.succeeds("list", "--at", backups)["backups"]) == 1
    assert dbackup("verify", "--all", "--at", backups).code == 0
    cleaned = dbackup.succeeds("clean", "--at", backups)
    assert cleaned["leftovers"] == []
    assert cleaned["foreign"] == {"objects": len(strange), "bytes": sum(map(len, strange.values()))}
    assert "5 objects there (27 B) of no backup: left alone" in dbackup("clean", "--at", backups).out
    dbackup.succeeds("backup", shop, "--to", backups, "--keep", "last=1")
    dbackup.succeeds("delete", written.parent.name, "--at", backups, "--yes")
    assert {path: path.read_bytes() for path in strange} == strange


def test_two_runs_that_write_to_one_destination_at_once_are_two_good_backups(
    dbackup: Dbackup, shop: Path, tmp_path: Path
) -> None:
    def run(_: int) -> Answer:
        return dbackup.apart("backup", shop, "--to", tmp_path / "backups", "--keep", "last=5", "--json")

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(run, range(2)))
    assert [answer.json["state"] for answer in answers] == ["SUCCESS", "SUCCESS"], answers
    assert {path.parent.name for path in manifests(tmp_path / "backups")} == {a.json["backup_id"] for a in answers}
    assert dbackup("verify", "--all", "--at", tmp_path / "backups").code == 0
