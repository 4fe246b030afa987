"""A restore that is killed, at whichever step: the target is as it was, or complete, and the next restore succeeds."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from core.jobs import RestoreSpec
from core.states import RunState
from flows.backup import backup
from flows.restore import restore
from services.records import executions
from tests.flows.shop import children, job, rows
from tests.servers.postgresql import Server
from tests.waiting import until

COMMAND = Path(sys.executable).with_name("dbackup")
BREAKPOINTS = Path(__file__).parents[1] / "fakes" / "breakpoints"
BEFORE = ("resolve", "download", "load", "publish")  # the target is put in place
AFTER = ("complete",)
OLD = [(1, "what was there before")]


@contextmanager
def stopped(folder: Path, step: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A restore by the command, stopped at a step: its files are in the folder; killed with the context."""
    folder.mkdir()
    (folder / step).touch()
    variables = {"PYTHONPATH": str(BREAKPOINTS), "BREAKPOINTS": str(folder), "BREAKPOINT": step}
    command = [COMMAND, "restore", "latest", "--overwrite", *map(str, arguments)]
    with (folder / "said").open("wb") as said, subprocess.Popen(
        command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
    ) as process:  # fmt: skip
        try:
            yield process
            until(lambda: (folder / f"{step}.reached").exists() or process.poll() is not None, f"{step}", seconds=300)
            assert process.poll() is None, (folder / "said").read_text()
        finally:
            process.kill()


def small(path: Path) -> Path:
    """A database of another content, which a restore is to replace."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", OLD)
    return path


def crashed() -> set[str]:
    return {run.execution_id for run in executions().recent(200) if run.state is RunState.CRASHED}


def test_a_killed_restore_of_a_file_leaves_what_was_there_or_all_of_it(shop: Path, tmp_path: Path) -> None:
    backup(job(shop, tmp_path / "b"))
    before = crashed()  # now: whichever of the restores begins late finds those that are dead already
    targets = {step: small(tmp_path / f"{step}.db") for step in (*BEFORE, *AFTER)}
    with ExitStack() as stack:
        for step, target in targets.items():
            stack.enter_context(stopped(tmp_path / step, step, "--at", tmp_path / "b", "--into", f"sqlite://{target}"))
    assert {step: rows(target) for step, target in targets.items()} == {
        **dict.fromkeys(BEFORE, OLD),
        **dict.fromkeys(AFTER, rows(shop)),
    }
    for target in targets.values():
        spec = RestoreSpec.model_validate(
            {"backup": "latest", "storage": f"file://{tmp_path}/b", "target": f"sqlite://{target}", "overwrite": True}
        )
        assert restore(spec).state is RunState.SUCCESS
        assert rows(target) == rows(shop)
    assert len(crashed() - before) == len(targets), "each is recorded"
    assert sorted(path.name for path in tmp_path.glob("*.db*")) == sorted(
        [*(p.name for p in targets.values()), "shop.db"]
    )


def test_a_killed_restore_of_a_server_leaves_what_was_there_or_all_of_it(postgresql: Server, tmp_path: Path) -> None:
    steps = ("load", "publish", "complete")
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id", "shop")
    backup(job(postgresql.url("shop"), tmp_path / "b"))
    for step in steps:
        postgresql.create(step)
        postgresql.query("CREATE TABLE orders AS SELECT 1 AS id", step)
    with ExitStack() as stack:
        for step in steps:
            arguments = ("--at", tmp_path / "b", "--into", postgresql.url(), "--database", "shop", "--as", step)
            stack.enter_context(stopped(tmp_path / step, step, *arguments))
    until(lambda: not list(children(f"PGPORT={postgresql.port}")), "the end of the tools")
    found = {step: postgresql.query("SELECT count(*) FROM orders", step)[0][0] for step in steps}
    assert found == {"load": 1, "publish": 1, "complete": 1000}
    _cleaned(postgresql)
    for step in steps:
        spec = {"backup": "latest", "storage": f"file://{tmp_path}/b", "target": postgresql.url(), "database": "shop"}
        assert (
            restore(RestoreSpec.model_validate({**spec, "rename": step, "overwrite": True})).state is RunState.SUCCESS
        )
        assert postgresql.query("SELECT count(*) FROM orders", step) == [(1000,)]


def _cleaned(server: Server) -> None:
    """What the killed ones have built is told of by the command, with the run it was of, and removed with a yes."""
    before = server.names()
    built = {name for name in before if "__dbackup_" in name}
    seen = _clean(server)
    assert {one["name"] for one in seen} == built
    assert {one["target"] for one in seen} == {"publish"}
    assert all(one["run"] and one["size"] and not one["stays"] and not one["removed"] for one in seen)
    assert server.names() == before
    assert all(one["removed"] for one in _clean(server, "--yes"))
    assert before - server.names() == built


def _clean(server: Server, *options: str) -> list[dict[str, Any]]:
    command = [COMMAND, "clean", "--source", server.url(), "--json", *options]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout)
    found: list[dict[str, Any]] = answer["sources"][0]["databases"]
    return found
