"""What a file refers to, what is left when a step of it fails, and groups that it changes and prunes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks.saved import load_source
from cli.exits import FAILED, PARTIAL, USAGE
from tests.cli.conftest import Dbackup
from tests.home import files_of

SECRET = "hunter4-from-a-file"
OTHER = "hunter5-from-the-same"


@pytest.fixture
def file(dbackup: Dbackup, tmp_path: Path) -> Iterator[Path]:
    """A file to be written; what these tests save by it is removed."""
    yield tmp_path / "parts.yaml"
    for group, name in (("source", "part-shop"), ("source", "part-second"), ("storage", "part-near")):
        dbackup(group, "remove", name)
    for name in ("part-readers", "part-writers"):
        dbackup("group", "delete", name, "--yes")


def test_a_secret_in_a_file_of_its_own_is_read_compared_and_never_told(
    dbackup: Dbackup, file: Path, tmp_path: Path, home: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{SECRET}\n")
    file.write_text(f"sources:\n  part-shop:\n    url: postgresql://u@h/shop\n    password: file:{secret}\n")
    first = dbackup("apply", file, "--yes")
    assert first.code == 0, first
    assert load_source("part-shop").opened()["password"] == SECRET
    assert "nothing to do" in dbackup("apply", file).out
    secret.write_text(OTHER)
    seen = dbackup("apply", file, "--dry-run")
    assert (seen.code, "password: changed" in seen.out) == (PARTIAL, True)
    second = dbackup("apply", file, "--yes")
    assert load_source("part-shop").opened()["password"] == OTHER
    said = "".join(one.out + one.err for one in (first, seen, second))
    for hidden in (SECRET, OTHER):
        assert hidden not in said
        assert [name for name, content in files_of(home).items() if hidden.encode() in content] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such"),
        (b"", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_a_secret_that_cannot_be_read_is_told_with_its_line_before_anything_is_done(
    dbackup: Dbackup, file: Path, tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    file.write_text(
        "sources:\n  part-second: {url: 'postgresql://u@h/d'}\n"
        f"  part-shop:\n    url: postgresql://u@h/shop\n    password: file:{tmp_path}/password\n"
    )
    refused = dbackup("apply", file, "--yes")
    assert refused.code == USAGE
    assert "line 5, column 5: sources.part-shop.password" in refused.err
    assert told in refused.err
    assert "part-second" not in [one["name"] for one in dbackup.succeeds("source", "list")["sources"]]


def test_a_failure_halfway_says_what_was_done_and_the_second_run_finishes(
    dbackup: Dbackup, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.db").touch()
    (tmp_path / "in-the-way").touch()
    file.write_text(
        f"sources:\n  part-shop: {{url: 'sqlite://{tmp_path}/shop.db'}}\n"
        f"storages:\n  part-near: {{url: 'file://{tmp_path}/in-the-way/backups'}}\n"
        "jobs:\n  part-job: {source: part-shop, destinations: [part-near]}\n"
    )
    stopped = dbackup("apply", file, "--yes")
    assert stopped.code == FAILED
    assert "stopped at the storage part-near" in stopped.err
    assert "done before: source part-shop created" in stopped.err
    assert [one["name"] for one in dbackup.succeeds("storage", "list")["storages"]].count("part-near") == 0
    (tmp_path / "in-the-way").unlink()
    again = dbackup.succeeds("apply", file, "--yes")
    assert again["done"] == ["storage part-near created", "job part-job created"]
    assert again["unchanged"] == 1
    assert dbackup.succeeds("apply", file)["steps"] == []
    dbackup.succeeds("job", "delete", "part-job")


def test_groups_are_changed_and_pruned_and_that_of_administrators_stays(dbackup: Dbackup, file: Path) -> None:
    def groups() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in dbackup.succeeds("group", "list")["groups"]}

    def wanted(**permissions: list[str]) -> None:
        said = {name: {"permissions": one} for name, one in permissions.items()}
        file.write_text(yaml.safe_dump({"groups": others | said}))

    before = groups()
    others = {
        name: {"permissions": one["permissions"]} | ({} if one["sources"] is None else {"sources": one["sources"]})
        for name, one in before.items()
        if not one["protected"]
    }  # of other tests: they stay
    wanted(**{"part-readers": ["backups:read"], "part-writers": ["backups:*"]})
    made = dbackup.succeeds("apply", file, "--yes")["done"]
    assert made == ["group part-readers created", "group part-writers created"]
    wanted(**{"part-readers": ["backups:read", "jobs:read"]})
    assert "permissions: backups:read" in dbackup("apply", file, "--dry-run").out
    assert dbackup.succeeds("apply", file, "--yes")["done"] == ["group part-readers changed"]
    assert groups()["part-readers"]["permissions"] == ["backups:read", "jobs:read"]
    assert "part-writers" in groups()
    assert dbackup.succeeds("apply", file, "--yes", "--prune")["done"] == ["group part-writers removed"]
    assert groups().keys() == before.keys() | {"part-readers"}
    assert dbackup.succeeds("apply", file, "--yes", "--prune")["steps"] == []
