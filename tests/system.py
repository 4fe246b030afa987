"""The whole system, ``dbackup up``, in a home of its own, and this process as one of its users."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.environment import ours, without_ours
from tests.home import forget_settings
from tests.servers.processes import free_port
from tests.waiting import until

COMMAND = Path(sys.executable).with_name("dbackup")
START_SECONDS, END_SECONDS = 240, 90  # on a machine with much else to do


@dataclass(frozen=True)
class System:
    """A system that runs: its home, and the process that looks after its parts."""

    home: Path
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    port: int

    @property
    def said(self) -> str:
        """What it has told on its standard error."""
        return (self.home.parent / "up.log").read_text()

    def dbackup(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command beside the system, as its user types it."""
        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def process_of(self, part: str) -> int:
        """The process of one part. Fails when there is none."""
        found = [pid for pid, argv in self.processes().items() if part in argv]
        assert len(found) == 1, found
        return found[0]

    def processes(self) -> dict[int, str]:
        """Every process of the system, by its id, with its argument list: they are known by their home."""
        mark, found = f"DBACKUP_HOME={self.home}".encode(), {}
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended just now
                continue
        return {pid: argv for pid, argv in found.items() if argv}  # a dead one has none

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and give its exit code."""
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


@contextmanager
def system_up(home: Path, *options: str, **variables: str) -> Iterator[System]:
    """A system in this home, from the moment when it is ready; ended by its own process id."""
    port = free_port()
    settings = {"DBACKUP_HOME": str(home), "DBACKUP_WEB_PORT": str(port), "PREFECT_HOME": str(home / "profiles")}
    environment = {**without_ours(), **settings, **variables}
    log, answer = home.parent / "up.log", home.parent / "up.json"
    with log.open("ab") as errors, answer.open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "up", "--json", *options], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
    system = System(home, process, environment, port)
    try:
        until(
            lambda: answer.read_bytes().endswith(b"}\n") or process.poll() is not None,
            "the system to be ready",
            seconds=START_SECONDS,
        )
        if process.poll() is not None or not json.loads(answer.read_text())["ready"]:
            pytest.fail(f"the system did not start:\n{log.read_text()}{answer.read_text()}")
        yield system
    finally:
        if process.poll() is None:
            system.stop()


@contextmanager
def user_of(home: Path, **variables: str) -> Iterator[None]:
    """Within this context this process uses another home, and has these settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ours():
            patch.delenv(name)
        patch.setenv("DBACKUP_HOME", str(home))
        patch.setenv("PREFECT_HOME", str(home / "profiles"))
        for name, value in variables.items():
            patch.setenv(name, value)
        forget_settings()
        yield
    forget_settings()


@pytest.fixture(scope="session")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all tests that leave it running."""
    with system_up(tmp_path_factory.mktemp("system") / "home") as system:
        yield system


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    """The shared system, of which this process is a user for as long as the test lasts."""
    with user_of(shared_system.home):
        yield shared_system


def invitation(system: System) -> str:
    """The link by which the first administrator is made. Fails when none was told."""
    found = re.search(r"http://\S+/setup\?link=\S+", system.said)
    assert found
    return found[0]


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that a command with ``--json`` has printed."""
    value: dict[str, Any] = json.loads(done.stdout)
    return value
