"""Who stands for a forked run and the run itself: whatever becomes of one becomes of the other."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments import engine
from deployments.fork_server import STEERING, of_a_run
from deployments.forks import Forks
from deployments.processes import is_alive
from tests.waiting import until

NAME = "test-of-forks"
SERVER = """
import os, socket, sys
from deployments.fork_server import ForkServer

wish = ForkServer(socket.socket(fileno=int(sys.argv[1])), sys.stdin.fileno()).serve()
if wish:
    wish.take_over()
    exec(os.environ["CODE"])
"""  # a run does what its environment says
SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
NO_SERVER = "Invalid flow run id"  # what Prefect's own engine says of a run without one


class Server:
    """A fork server, the name it answers to, and those who stand for its runs."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name, self.process = name, process
        self.stand_ins: list[subprocess.Popen[str]] = []

    def run(self, code: str, folder: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """A process that stands for a run of this code."""
        self.stand_ins.append(
            subprocess.Popen(
                [sys.executable, "-P", engine.__file__, self.name],
                env={**_environment(), "CODE": code, **environment},
                cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        return self.stand_ins[-1]

    def asleep(self) -> tuple[subprocess.Popen[str], int]:
        """One that stands for a run that sleeps, and the run's process."""
        stand_in = self.run(SLEEPS)
        assert stand_in.stdout
        return stand_in, int(stand_in.stdout.readline())

    def lose_its_worker(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()


def _environment() -> dict[str, str]:
    """A worker's."""
    return {key: value for key, value in os.environ.items() if not of_a_run(key)}


@contextmanager
def _serving(name: str) -> Iterator[Server]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(engine.address(name))
        listener.listen()
        argv = [sys.executable, "-c", SERVER, str(listener.fileno())]
        fds = [listener.fileno()]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=fds, env=_environment())
    found = Server(name, process)
    try:
        yield found
    finally:
        for one in (*found.stand_ins, process):
            one.kill()
            one.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    with _serving(f"{NAME}-{os.getpid()}") as found:
        yield found


def test_a_run_has_the_environment_the_folder_and_the_streams_of_who_stands_for_it(
    server: Server, tmp_path: Path
) -> None:
    code = "import sys; print(os.environ['OF_THE_RUN'], os.getcwd()); print('lost', file=sys.stderr); sys.exit(3)"
    stand_in = server.run(code, tmp_path, OF_THE_RUN="yes, ümläut")
    assert stand_in.communicate(timeout=60) == (f"yes, ümläut {tmp_path}\n", "lost\n")
    assert stand_in.returncode == 3


def test_what_it_is_told_the_run_is_told(server: Server) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(600)
"""
    stand_in = server.run(code)
    assert stand_in.stdout
    assert stand_in.stdout.readline() == "ready\n"
    stand_in.terminate()
    assert stand_in.wait(60) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_by_the_signal_that_has_ended_the_run(server: Server, number: signal.Signals) -> None:
    stand_in, run = server.asleep()
    os.kill(run, number)
    assert stand_in.wait(60) == -number


def test_when_it_is_killed_so_is_its_run_and_no_other(server: Server) -> None:
    stand_in, run = server.asleep()
    other, going_on = server.asleep()
    stand_in.kill()
    until(lambda: not is_alive(run), "the run to end")
    assert is_alive(going_on)
    assert other.poll() is None
    assert server.run("raise SystemExit(5)").wait(60) == 5


def test_when_the_server_is_killed_a_run_goes_on_and_is_still_told_and_followed(server: Server) -> None:
    both = [server.asleep() for _ in range(2)]
    server.process.kill()
    server.process.wait()
    for stand_in, run in both:
        assert is_alive(run)
        assert stand_in.poll() is None
        stand_in.terminate()
        assert stand_in.wait(60) == 0, "how it has ended, nobody but itself can tell"
        assert not is_alive(run)


def test_without_its_worker_it_takes_nothing_more_and_ends_with_its_last_run(server: Server) -> None:
    stand_in, run = server.asleep()
    server.lose_its_worker()
    until(lambda: NO_SERVER in server.run("print('forked')").communicate(timeout=60)[1], "it to take nothing")
    assert server.process.poll() is None
    assert is_alive(run)
    os.kill(run, signal.SIGTERM)
    assert stand_in.wait(60) == -signal.SIGTERM
    assert server.process.wait(60) == 0


def test_a_run_with_other_settings_than_were_imported_imports_for_itself(server: Server) -> None:
    assert server.run("pass", PREFECT__FLOW_RUN_ID="7").wait(60) == 0
    stand_in = server.run("print('forked')", DBACKUP_LOG_LEVEL="debug")
    printed, said = stand_in.communicate(timeout=60)
    assert printed == ""
    assert NO_SERVER in said
    assert server.run("pass").wait(60) == 0


def test_what_is_imported_may_set_variables_that_were_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [key for key in os.environ if key.startswith(STEERING)]:
        monkeypatch.delenv(name)
    with _serving(f"{NAME}-bare-{os.getpid()}") as server:
        assert server.run("print('forked')").communicate(timeout=60)[0] == "forked\n"


def test_one_who_was_killed_while_asking_holds_up_nobody(server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(engine.address(server.name))
        connection.sendall(engine.NUMBER.pack(1000) + b"{")
    assert server.run("pass").wait(60) == 0


def test_another_user_is_neither_asked_nor_answered() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert engine.is_ours(ours)
    address = f"{engine.address(NAME)}-other-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        code = (
            f"import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect({address!r}); s.recv(1)"
        )
        with subprocess.Popen([sys.executable, "-c", code]) as other:
            connection, _ = listener.accept()
            with connection:
                assert not engine.is_ours(connection)
            assert other.wait(60) == 0


def test_a_server_is_kept_for_a_while_and_started_again_when_it_is_needed() -> None:
    async def use() -> None:
        forks = Forks(idle_seconds=0.2)
        with forks.command(_environment()) as first, forks.command(_environment()) as beside:
            assert beside == first
        with forks.command(_environment()) as soon:
            assert soon == first
            await asyncio.sleep(1)  # longer than it is kept without a run
            with forks.command(_environment()) as still:
                assert still == first
        gone = forks._server
        assert gone
        while gone.poll() is None:
            await asyncio.sleep(0.05)
        assert gone.returncode == 0
        with forks.command(_environment()) as later:
            assert later != first
            killed = forks._server
            assert killed
            killed.kill()
            killed.wait()
            with forks.command(_environment()) as anew:
                assert anew not in (first, later)
        while forks._server:
            await asyncio.sleep(0.05)

    asyncio.run(use())


def test_a_server_that_gives_up_is_not_started_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )

    async def use() -> None:
        forks = Forks()
        environment = {**_environment(), "PYTHONPATH": str(tmp_path)}
        with forks.command(environment) as first:
            assert forks._server
            assert forks._server.wait(60) == 1
        with forks.command(environment) as second:
            assert second == first
        stand_in = subprocess.run(second, env=_environment(), capture_output=True, text=True, timeout=60, check=False)
        assert NO_SERVER in stand_in.stderr

    asyncio.run(use())


def test_who_stands_for_a_run_imports_nothing_but_the_standard_library() -> None:
    code = f"import runpy, sys; runpy.run_path({engine.__file__!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {*sys.stdlib_module_names, "__main__"}
