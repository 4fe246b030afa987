"""``dbackup download``: what comes out is the backup, whole, in a new private file or in a pipe, or it is an error."""

from __future__ import annotations

import hashlib
import os
import pty
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Dbackup


@pytest.fixture
def backed_up(dbackup: Dbackup, shop: Path, tmp_path: Path) -> tuple[str, Path]:
    """An encrypted backup of the shop, and the folder that it lies in."""
    dbackup("key", "create", "downloads")
    report = dbackup.succeeds("backup", shop, "--to", tmp_path / "disk", "--profile", "downloads")
    return report["backup_id"], tmp_path / "disk"


def test_a_file_is_taken_away_as_it_is_stored_and_decrypted(
    dbackup: Dbackup, backed_up: tuple[str, Path], tmp_path: Path
) -> None:
    backup, disk = backed_up
    (stored,) = disk.rglob("*.enc")
    taken = dbackup.succeeds("download", backup, "--at", disk, "--out", tmp_path)
    assert Path(taken["file"]).read_bytes() == stored.read_bytes()
    plain = tmp_path / "back.db"
    dbackup.succeeds("download", "latest", "--at", disk, "--decrypted", "--out", plain)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    with closing(sqlite3.connect(plain)) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)
    manifest = dbackup.succeeds("download", backup, "--at", disk, "--file", "backup.meta.json", "--out", tmp_path / "m")
    assert backup.encode() in Path(manifest["file"]).read_bytes()


def test_standard_output_gets_the_bytes_and_nothing_else(backed_up: tuple[str, Path]) -> None:
    backup, disk = backed_up
    (stored,) = disk.rglob("*.enc")
    done = subprocess.run([COMMAND, "download", backup, "--at", disk], capture_output=True, timeout=60, check=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(stored.read_bytes()).digest()


def test_a_terminal_gets_no_bytes(home: Path) -> None:
    ours, theirs = pty.openpty()
    command = [COMMAND, "download", "latest", "--at", "/nowhere"]
    done = subprocess.run(
        command,
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    for end in (ours, theirs):
        os.close(end)
    assert done.returncode == 2
    assert b"--out PATH" in done.stderr


def test_a_damaged_copy_leaves_no_file_behind(dbackup: Dbackup, backed_up: tuple[str, Path], tmp_path: Path) -> None:
    backup, disk = backed_up
    (stored,) = disk.rglob("*.enc")
    stored.chmod(0o600)
    damaged = bytearray(stored.read_bytes())
    damaged[-1] ^= 1
    stored.write_bytes(damaged)
    for form in ((), ("--decrypted",)):
        answer = dbackup("download", backup, "--at", disk, *form, "--out", tmp_path / "taken")
        assert answer.code == 1
        assert not (tmp_path / "taken").exists()
    assert list(tmp_path.glob(".dbackup-*")) == []
    piped = subprocess.run([COMMAND, "download", backup, "--at", disk], capture_output=True, timeout=60, check=False)
    assert piped.returncode == 1


def test_nothing_is_overwritten_and_nothing_is_guessed(
    dbackup: Dbackup, backed_up: tuple[str, Path], tmp_path: Path
) -> None:
    backup, disk = backed_up
    (tmp_path / "mine").write_text("precious")
    for out, extra, said in (
        ("mine", (), "exists already"),
        ("nowhere/x", (), "cannot be written"),
        ("x", ("--file", "../../etc/passwd"), "has no file"),
    ):
        answer = dbackup("download", backup, "--at", disk, "--out", tmp_path / out, *extra)
        assert answer.code == 1
        assert said in answer.err
    assert (tmp_path / "mine").read_text() == "precious"
    assert dbackup("download", backup, "--at", disk, "--json").code == 2
