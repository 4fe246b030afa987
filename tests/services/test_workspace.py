"""The promises of a run's folder: private, gone at the end, and found when its owner is dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from services.workspace import sweep, workspace

HOLD = """
import sys
from pathlib import Path
from services.workspace import workspace
with workspace(Path(sys.argv[1]), "run-1") as folder:
    (folder / "spool").write_bytes(b"half a dump")
    print("ready", flush=True)
    sys.stdin.read()
"""


def holder(parent: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_folder_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    with workspace(tmp_path, "run-1") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "spool").write_bytes(b"data")
    assert not folder.exists()


def test_the_folder_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert sweep(tmp_path) == []
        assert (tmp_path / "run-1" / "spool").exists()
        process.communicate()
    assert not (tmp_path / "run-1").exists()


def test_the_folder_of_a_killed_run_is_swept(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    assert (tmp_path / "run-1" / "spool").exists()
    assert sweep(tmp_path) == ["run-1"]
    assert not (tmp_path / "run-1").exists()


def test_what_is_no_run_of_ours_is_never_swept(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"picture")
    (tmp_path / "a file").write_bytes(b"data")
    assert sweep(tmp_path) == []
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="cannot make the run's folder"), workspace(tmp_path / "file", "run-1"):
        pass
