"""The recovery script opens every backup by itself, and never leaves a file it has not verified."""

from __future__ import annotations

import ast
import gzip
import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

from core.compression import Algorithm, decompress
from core.naming import MANIFEST
from services.recovery import read_keys, write_kit
from tests.core.chopping import collected

GOLDEN = Path(__file__).parent.parent / "golden" / "v1"
GOOD = sorted((GOLDEN / "good").iterdir())
DAMAGED = sorted((GOLDEN / "damaged").iterdir())
DUMP = (GOLDEN / "shop.db").read_bytes()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script as a kit holds it: alone in a folder, with the keys beside it."""
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "keys.json").write_bytes((GOLDEN / "keys.json").read_bytes())
    path = kit / "recover.py"
    path.write_text(files("core.recovery").joinpath("recover.py").read_text())
    return path


def run(script: Path, *arguments: Path | str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    argv = [python, "-I", str(script), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=script.parent)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the one package the kit asks for, and nothing of this project."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    wanted = f"cryptography=={version('cryptography')}"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.fail(f"cannot install {wanted}: {done.stderr}")
    return python


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return collected([data], decompress(Algorithm.ZSTD)) if path.suffix == ".zst" else data


def test_it_needs_an_old_python_and_one_package() -> None:
    source = files("core.recovery").joinpath("recover.py").read_text()
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 9))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"cryptography"}


@pytest.mark.parametrize("backup", GOOD, ids=lambda path: path.name)
def test_it_recovers_a_backup(backup: Path, script: Path, tmp_path: Path) -> None:
    result = run(script, backup, "--out", tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, "")
    [path] = left_in(tmp_path / "out")
    assert plain(path) == DUMP
    assert path.stat().st_mode & 0o077 == 0
    assert str(path) in result.stdout


def test_a_kit_alone_recovers_every_backup_on_a_machine_without_the_program(bare_python: Path, tmp_path: Path) -> None:
    here = subprocess.run([bare_python, "-I", "-c", "import core"], capture_output=True, text=True, check=False)
    assert "No module named 'core'" in here.stderr
    write_kit(tmp_path / "kit.zip", read_keys(GOLDEN / "keys.json"))
    with zipfile.ZipFile(tmp_path / "kit.zip") as kit:
        kit.extractall(tmp_path / "kit")
    out = tmp_path / "out"
    result = run(tmp_path / "kit" / "recover.py", GOLDEN / "good", "--out", out, python=bare_python)
    assert (result.returncode, result.stderr) == (0, "")
    assert [plain(path) for path in left_in(out)] == [DUMP] * len(GOOD)


@pytest.mark.parametrize("backup", DAMAGED, ids=lambda path: path.name)
def test_it_refuses_a_damaged_backup_and_leaves_nothing(backup: Path, script: Path, tmp_path: Path) -> None:
    result = run(script, backup, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert left_in(tmp_path / "out") == []


def test_it_recovers_what_is_good_beside_what_is_damaged(script: Path, tmp_path: Path) -> None:
    result = run(script, GOLDEN, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert len(left_in(tmp_path / "out")) == len(GOOD)
    assert result.stderr.count("error: ") == len(DAMAGED)


def test_it_lists_what_is_there_and_writes_nothing(script: Path, tmp_path: Path) -> None:
    result = run(script, GOLDEN / "good", "--list", "--out", tmp_path / "out")
    assert result.returncode == 0
    assert result.stdout.count("'Nightly shop'") == len(GOOD)
    assert "key at hand" in result.stdout
    assert "all-databases.archive.enc  databases 'ledger', 'shop'" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_whoever_stops_reading_what_it_says_gets_everything_all_the_same(
    script: Path, tmp_path: Path, options: list[str]
) -> None:
    """As in ``recover.py FOLDER | head``: no backup is called bad for it."""
    unread, said = os.pipe()
    os.close(unread)
    for mode in (["--list"], ["--out", tmp_path / "out"]):
        command = [sys.executable, "-I", *options, script, GOLDEN / "good", *mode]
        done = subprocess.run(command, stdout=said, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    os.close(said)
    assert [plain(path) for path in left_in(tmp_path / "out")] == [DUMP] * len(GOOD)


def test_without_keys_it_lists_everything_and_recovers_what_is_not_encrypted(script: Path, tmp_path: Path) -> None:
    script.with_name("keys.json").unlink()
    assert "KEY MISSING" in run(script, GOLDEN / "good", "--list").stdout
    result = run(script, GOLDEN / "good", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "822071b09e64d277" in result.stderr
    assert len(left_in(tmp_path / "out")) == 3


def test_it_never_overwrites(script: Path, tmp_path: Path) -> None:
    assert run(script, GOOD[0], "--out", tmp_path / "out").returncode == 0
    [path] = left_in(tmp_path / "out")
    path.write_bytes(b"mine")
    result = run(script, GOOD[0], "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "exists already" in result.stderr
    assert path.read_bytes() == b"mine"


def test_it_says_when_there_is_nothing_to_recover(script: Path, tmp_path: Path) -> None:
    result = run(script, tmp_path / "nowhere")
    assert result.returncode == 1
    assert "no complete backup" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", '[{"key": 1}]', '[{"key": "YQ=="}]'])
def test_keys_that_cannot_be_read_are_an_error(text: str, script: Path) -> None:
    script.with_name("keys.json").write_text(text)
    result = run(script, GOLDEN)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "keys.json" in result.stderr


def test_a_name_in_a_manifest_cannot_lead_out_of_the_folder(script: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backups" / "shop" / "20261122T030000Z-7f3a9c"
    backup.mkdir(parents=True)
    [source] = next(path for path in GOOD if path.name == "plain-none").rglob(MANIFEST)
    manifest = json.loads(source.read_text())
    manifest["files"][0]["name"] = "../../../stolen.db"
    (backup / MANIFEST).write_text(json.dumps(manifest))
    result = run(script, tmp_path / "backups", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert left_in(tmp_path / "out") == []


def test_a_manifest_that_is_not_genuine_can_be_overruled_but_no_chunk_can(script: Path, tmp_path: Path) -> None:
    tampered = GOLDEN / "damaged" / "manifest-tampered"
    assert run(script, tampered, "--ignore-manifest-code", "--out", tmp_path / "out").returncode == 0
    changed = GOLDEN / "damaged" / "chunk-changed"
    assert run(script, changed, "--ignore-manifest-code", "--out", tmp_path / "other").returncode == 1
    assert left_in(tmp_path / "other") == []
