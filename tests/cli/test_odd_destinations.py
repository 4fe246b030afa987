"""What else may lie on a destination: files of others, backups of a newer program, and what another run writes now."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from cli.exits import FAILED
from tests.cli.conftest import Answer, Dbackup
from tests.servers.openssh import Server
from tests.servers.s3 import BUCKET, rclone_serving


@dataclass(frozen=True)
class Place:
    """A destination: what its user calls it, and the folder where whoever serves it keeps everything."""

    name: str
    folder: Path


def manifests(place: Place) -> list[Path]:
    return sorted(place.folder.rglob("backup.meta.json"))


@contextmanager
def _on_this_machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    yield f"file://{tmp_path}/backups", tmp_path / "backups"


@contextmanager
def _on_sftp(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    server: Server = request.getfixturevalue("openssh")
    user, folder = server.account, server.account.new_folder()
    address = f"{user.name}:{user.password}@127.0.0.1:{server.port}{folder}"
    yield f"sftp://{address}?fingerprint={quote(server.fingerprint())}", folder


@contextmanager
def _on_s3(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    (tmp_path / "served" / BUCKET).mkdir(parents=True)
    with rclone_serving(tmp_path / "served", "--dir-cache-time", "100ms") as server:  # we write behind its back
        yield server.url("here"), tmp_path / "served" / BUCKET / "here"


@pytest.fixture(params=[_on_this_machine, _on_sftp, _on_s3], ids=["folder", "sftp", "s3"])
def place(request: pytest.FixtureRequest, dbackup: Dbackup, tmp_path: Path) -> Iterator[Place]:
    """An empty destination, saved."""
    name = f"odd-{secrets.token_hex(4)}"  # the catalog remembers what was in one of the same name
    with request.param(tmp_path, request) as (url, folder):
        saved.add_storage(LOCAL_ADMINISTRATOR, name, url)
        yield Place(name, folder)
        saved.remove_storage(LOCAL_ADMINISTRATOR, name)


@pytest.fixture
def backups(place: Place, dbackup: Dbackup, shop: Path) -> Place:
    """A destination with one backup."""
    dbackup.succeeds("backup", shop, "--to", place.name)
    return place


def test_a_backup_of_a_newer_program_is_named_and_neither_restored_nor_deleted(
    dbackup: Dbackup, shop: Path, backups: Place, tmp_path: Path
) -> None:
    [written] = manifests(backups)
    written.chmod(0o600)
    newer = written.read_bytes().replace(b'"format":1', b'"format":2')
    written.write_bytes(newer)
    backup_id = written.parent.name
    [row] = dbackup.succeeds("list", "--at", backups.name)["backups"]
    assert (row["backup_id"], "format 2" in row["problem"]) == (backup_id, True)
    refused = dbackup("restore", backup_id, "--at", backups.name, "--into", tmp_path / "again.db")
    assert refused.code == FAILED
    assert "format 2" in refused.err
    assert "newer" in refused.err
    assert not (tmp_path / "again.db").exists()
    assert dbackup("verify", "--all", "--at", backups.name).code == FAILED
    kept = dbackup.succeeds("backup", shop, "--to", backups.name, "--keep", "last=1,min_keep=1")
    assert kept["state"] == "SUCCESS"
    assert written.read_bytes() == newer
    assert len(manifests(backups)) == 2


def test_files_of_others_are_told_of_and_left_as_they_are(dbackup: Dbackup, shop: Path, backups: Place) -> None:
    [written] = manifests(backups)
    job = written.parent.parent
    strange = {
        backups.folder / "README.txt": b"hands off",
        backups.folder / "photos" / "2026" / "cat.jpg": b"cat",
        job / "notes.txt": b"of the job",
        job / "20200102T030405Z-nothex" / "shop.db": b"half",
        written.parent / "what is this": b"?",
    }
    for path, content in strange.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert len(dbackup.succeeds("list", "--at", backups.name)["backups"]) == 1
    assert dbackup("verify", "--all", "--at", backups.name).code == 0
    cleaned = dbackup.succeeds("clean", "--at", backups.name)
    assert cleaned["leftovers"] == []
    assert cleaned["foreign"] == {"objects": len(strange), "bytes": sum(map(len, strange.values()))}
    assert "5 objects there (27 B) of no backup: left alone" in dbackup("clean", "--at", backups.name).out
    dbackup.succeeds("backup", shop, "--to", backups.name, "--keep", "last=1")
    dbackup.succeeds("delete", written.parent.name, "--at", backups.name, "--yes")
    assert {path: path.read_bytes() for path in strange} == strange


def test_two_runs_that_write_to_one_destination_at_once_are_two_good_backups(
    dbackup: Dbackup, shop: Path, place: Place
) -> None:
    def run(_: int) -> Answer:
        return dbackup.apart("backup", shop, "--to", place.name, "--keep", "last=5", "--json")

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(run, range(2)))
    assert [answer.json["state"] for answer in answers] == ["SUCCESS", "SUCCESS"], answers
    assert {path.parent.name for path in manifests(place)} == {a.json["backup_id"] for a in answers}
    assert dbackup("verify", "--all", "--at", place.name).code == 0
