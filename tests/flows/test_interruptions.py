"""A run that is ended from outside, gently or not, leaves no process, no session and no half of a backup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.states import RunState
from flows.backup import backup
from services.records import executions
from tests.flows.shop import children, files_below, job
from tests.flows.test_backup import fill
from tests.servers.postgresql import Server
from tests.waiting import SECONDS, until

COMMAND = Path(sys.executable).with_name("dbackup")
SLOW = "zstd:19"  # a few MB/s: the dump is held up by its own compression, in the midst of its data


@contextmanager
def running(server: Server, storage: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A backup by the command, stopped at a moment when part of the dump is stored."""
    fill(server, "shop", 600_000)
    arguments = ["backup", server.url("shop"), "--to", str(storage), "--compression", SLOW]
    with subprocess.Popen([COMMAND, *arguments], stderr=subprocess.PIPE) as process:
        try:
            until(lambda: spooled(storage) or process.poll() is not None, "the first bytes of the dump")
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


def spooled(storage: Path) -> int:
    return sum(path.stat().st_size for path in storage.glob(".incoming/*/shop.dump*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_backup_leaves_nothing(postgresql: Server, tmp_path: Path, how: signal.Signals) -> None:
    with running(postgresql, tmp_path / "backups") as process:
        process.send_signal(how)
        assert process.wait(SECONDS) != 0
        assert files_below(tmp_path / "backups") == []
        until(lambda: postgresql.sessions() == 0, "the end of the sessions")
        assert list(children(f"PGPORT={postgresql.port}")) == []


def test_a_killed_backup_takes_its_dump_tool_along_and_the_next_run_cleans_up(
    postgresql: Server, tmp_path: Path
) -> None:
    with running(postgresql, tmp_path / "backups") as process:
        process.kill()
        process.wait()
        until(lambda: not list(children(f"PGPORT={postgresql.port}")), "the end of the dump tool")
        until(lambda: postgresql.sessions() == 0, "the end of the sessions")
    assert any(name.startswith(".incoming/") for name in files_below(tmp_path / "backups"))
    report = backup(job(postgresql.url("shop"), tmp_path / "backups"))
    left = [name for name in files_below(tmp_path / "backups") if not name.startswith(report.folder)]
    assert left == []
    assert RunState.CRASHED in [execution.state for execution in executions().recent(3)]


def test_killing_the_dump_tool_midway_fails_the_run_and_keeps_nothing(postgresql: Server, tmp_path: Path) -> None:
    with running(postgresql, tmp_path / "backups") as process:
        for tool in children(f"PGPORT={postgresql.port}"):
            subprocess.run(["kill", "-KILL", str(tool)], check=True)
        _, written = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
        assert b"pg_dump was ended by SIGKILL" in written
        assert b"Traceback" not in written
        assert files_below(tmp_path / "backups") == []


def test_the_arguments_of_the_tools_show_neither_password_nor_user(postgresql: Server, tmp_path: Path) -> None:
    with running(postgresql, tmp_path / "backups"):
        tools = [Path(f"/proc/{tool}/cmdline").read_bytes() for tool in children(f"PGPORT={postgresql.port}")]
        assert any(b"pg_dump" in line for line in tools)
        for secret in (postgresql.password, "dbackup_admin", "shop"):
            assert not any(secret.encode() in line for line in tools)


WITHOUT_PREFECT = """
import json, os, signal, sys
import services.backups
from blocks import embedded
from core.errors import RunFailed
from core.jobs import JobSpec
from core.settings import settings
from flows.backup import backup
from services.records import executions

dump = services.backups.dump

def dump_and_kill(*arguments):
    address = json.loads((embedded.folder(settings()) / embedded.ADDRESS).read_text())
    os.kill(address["pid"], signal.SIGKILL)
    print("killed", flush=True)
    return dump(*arguments)

services.backups.dump = dump_and_kill
try:
    report = backup(JobSpec.model_validate_json(sys.argv[1]))
except RunFailed as error:
    report = error.report
print(json.dumps([report.state, report.folder, executions().recent(1)[0].state]), flush=True)
"""


@pytest.mark.parametrize(("destinations", "state"), [(1, RunState.SUCCESS), (2, RunState.PARTIAL)])
def test_a_prefect_server_that_dies_midway_changes_nothing_of_what_is_told(
    shop: Path, tmp_path: Path, destinations: int, state: RunState
) -> None:
    """One destination is a success, a second one that cannot be written makes the run partial, with Prefect or not.

    And the process ends soon: by itself, Prefect would go on telling its dead server of it for minutes. In a home of
    its own: Prefect's client would tell the dead server of every later run, too.
    """
    spec = job(shop, *[tmp_path / "backups", Path("/proc/nowhere")][:destinations])
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_PREFECT, spec.model_dump_json()],
        env={**os.environ, "DBACKUP_HOME": str(tmp_path / "home"), "PREFECT_HOME": str(tmp_path / "profiles")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() == "killed\n"
            said, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    told, folder, recorded = json.loads(said.splitlines()[-1])
    assert told == recorded == state
    assert (tmp_path / "backups" / folder / "backup.meta.json").exists()
