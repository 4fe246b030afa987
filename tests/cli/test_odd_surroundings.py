"""Homes, arguments and outputs that nobody expects: they work, or a sentence says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exits import FAILED
from tests.cli.conftest import COMMAND, Dbackup
from tests.home import end_server


@pytest.fixture
def odd_home(tmp_path: Path) -> Iterator[Path]:
    """A home whose name means something else in URLs; its server is ended by its own process id."""
    home = tmp_path / "a %41?x=1#c 'é"
    yield home
    end_server(home)


def test_a_home_of_any_name_keeps_everything_inside(dbackup: Dbackup, odd_home: Path, shop: Path) -> None:
    above = set(odd_home.parent.iterdir())
    environment = {"DBACKUP_HOME": str(odd_home)}
    assert dbackup.apart("source", "add", "shop", shop, **environment).code == 0
    assert dbackup.apart("backup", "shop", "--to", odd_home / "b", **environment).code == 0
    assert json.loads(dbackup.apart("list", "--json", **environment).out)["backups"]
    assert set(odd_home.parent.iterdir()) - above == {odd_home}
    assert {path.name for path in odd_home.iterdir()} >= {"catalog.db", "encryption.key", "prefect", "b"}
    assert (odd_home / "prefect" / "prefect.db").exists()


@pytest.mark.usefixtures("dbackup")
@pytest.mark.parametrize("arguments", [["show", b"\xff"], ["list", "--at", b"/tmp/\xff"], ["source", "test", b"\xff"]])
def test_an_argument_that_is_not_text_is_a_sentence(arguments: list[str | bytes]) -> None:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("✗ ".encode())
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr


@pytest.mark.usefixtures("dbackup")
@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["show", "x", "--json"], ["--help"]], ids=" ".join)
def test_a_full_standard_output_is_a_sentence_and_a_failure(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == FAILED
    assert done.stderr.startswith("✗ ")
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("dbackup")
@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"]], ids=" ".join)
def test_a_reader_that_has_gone_is_a_sentence_and_a_failure(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run([COMMAND, *arguments], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "✗ the result cannot be written to standard output")
    assert "Exception ignored" not in done.stderr


@pytest.mark.usefixtures("dbackup")
def test_closed_streams_do_not_keep_a_command_from_its_work() -> None:
    done = subprocess.run(["sh", "-c", f"exec {COMMAND} list >&- 2>&-"], check=False)
    assert done.returncode == 0
