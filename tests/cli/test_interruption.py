"""Ctrl-C and SIGTERM in the midst of a dump: one sentence, the right exit code, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from cli.exits import CANCELLED, INTERRUPTED, TERMINATED
from tests.cli.conftest import COMMAND, Dbackup
from tests.flows.shop import files_below
from tests.servers.postgresql import Server
from tests.waiting import SECONDS, until

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_an_interrupted_backup_says_so_and_leaves_nothing(
    dbackup: Dbackup, tmp_path: Path, postgresql: Server, how: signal.Signals, code: int
) -> None:
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders (id int)", "shop")
    command = [COMMAND, "backup", postgresql.url("shop"), "--to", str(tmp_path / "b"), "--json"]
    with postgresql.connect("shop", autocommit=False) as blocking:
        blocking.execute("LOCK TABLE orders")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: postgresql.query(WAITING), "the dump to wait for the lock")
            process.send_signal(how)
            out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (code, f"✗ {CANCELLED}\n")
    assert CANCELLED in out
    assert files_below(tmp_path / "b") == []
    until(lambda: postgresql.sessions() == 0, "the end of the sessions")
