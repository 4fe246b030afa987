"""Parts are started in order, looked after, and ended in reverse order, whatever happens to the supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ConfigurationError, ConnectionError
from deployments import supervisor
from deployments.supervisor import Change, News, Part, Supervisor
from tests.waiting import until

SLEEPER = "import pathlib, os, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
CHATTERER = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
while True:
    print("line", flush=True)
    time.sleep(0.0005)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
DEAF_WITH_CHILD = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}, sys.argv[1] + '.child']); {DEAF}"
)
ALONE = """
import sys
from pathlib import Path
from threading import Event
from deployments.supervisor import Part, Supervisor

folder = Path(sys.argv[1])
part = Part("child", (sys.executable, "-c", sys.argv[2], str(folder / "child.pid")), (folder / "child.pid").exists)
Supervisor([part], folder, print).start(Event())
(folder / "started").touch()
Event().wait(600)
"""


def part(folder: Path, name: str, code: str = SLEEPER, **more: object) -> Part:
    mark = folder / f"{name}.pid"
    return Part(name, (sys.executable, "-c", code, str(mark)), mark.exists, **more)  # type: ignore[arg-type]


def process_of(folder: Path, name: str) -> int:
    text = folder / f"{name}.pid"
    until(lambda: text.exists() and text.read_text(), f"{name} to say which process it is")
    return int(text.read_text())


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def looked_after(parts: list[Part], folder: Path) -> Iterator[list[News]]:
    """Run the parts until the end of the context; what is told of them, as it comes."""
    news: list[News] = []
    ended, one = threading.Event(), Supervisor(parts, folder / "logs", news.append)
    one.start(ended)
    watching = threading.Thread(target=one.watch, args=(ended,))
    watching.start()
    try:
        yield news
    finally:
        ended.set()
        watching.join()
        one.stop()


def told(news: list[News], change: Change) -> list[str]:
    return [one.part for one in news if one.change is change]


def test_each_part_starts_when_the_one_before_it_is_ready_and_they_end_in_reverse_order(tmp_path: Path) -> None:
    seen: list[bool] = []
    first = part(tmp_path, "first")
    second = part(tmp_path, "second", prepare=lambda: seen.append(first.ready()))
    with looked_after([first, second], tmp_path) as news:
        assert told(news, Change.READY) == ["first", "second"]
        processes = [process_of(tmp_path, name) for name in ("first", "second")]
    assert seen == [True]
    assert told(news, Change.STOPPED) == ["second", "first"]
    assert not any(map(is_alive, processes))


def test_a_part_that_dies_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    with looked_after([part(tmp_path, "worker"), part(tmp_path, "web")], tmp_path) as news:
        died = process_of(tmp_path, "worker")
        os.kill(died, signal.SIGKILL)
        until(lambda: told(news, Change.STARTED_AGAIN), "the part to be started again")
        until(lambda: process_of(tmp_path, "worker") != died, "the new process")
        assert told(news, Change.DIED) == told(news, Change.STARTED_AGAIN) == ["worker"]
        assert "signal 9" in next(one.detail for one in news if one.change is Change.DIED)


def test_the_pauses_before_a_part_is_started_again_grow_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.04)
    one = supervisor._Running(part(tmp_path, "worker", "raise SystemExit(7)"), tmp_path / "worker.log")
    pauses = []
    for _ in range(4):
        one.start()
        until(lambda: one.died() == 7, "the part to die")
        pauses.append(one.pause)
    assert pauses == [0.01, 0.02, 0.04, 0.04]


def test_a_part_that_cannot_be_prepared_again_is_put_off_and_the_others_are_looked_after(tmp_path: Path) -> None:
    refused = threading.Event()

    def prepare() -> None:
        if refused.is_set():
            refused.clear()
            raise ConfigurationError("port 1 of 127.0.0.1 cannot be used")

    with looked_after([part(tmp_path, "web", prepare=prepare)], tmp_path) as news:
        refused.set()
        os.kill(process_of(tmp_path, "web"), signal.SIGKILL)
        until(lambda: told(news, Change.STARTED_AGAIN), "the part to be started again")
        assert [one.detail.partition(";")[0] for one in news if one.change is Change.DIED] == [
            "signal 9",
            "port 1 of 127.0.0.1 cannot be used",
        ]


def test_a_part_that_does_not_end_when_it_is_asked_to_is_made_to(tmp_path: Path) -> None:
    with looked_after([part(tmp_path, "deaf", DEAF_WITH_CHILD, stop_seconds=0.2)], tmp_path) as news:
        process = process_of(tmp_path, "deaf")
        child = tmp_path / "deaf.pid.child"
        until(lambda: child.exists() and child.read_text(), "what it has started to run")
    assert told(news, Change.KILLED) == ["deaf"]
    assert not is_alive(process)
    until(lambda: not is_alive(int(child.read_text())), "what it has started to be ended, too")


@pytest.mark.parametrize(
    ("code", "ready", "said"),
    [("raise SystemExit('no room')", lambda: False, "ended at once: no room"), (SLEEPER, lambda: False, "not ready")],
)
def test_a_part_that_does_not_become_ready_is_an_error_and_the_others_are_stopped(
    tmp_path: Path, code: str, ready: Callable[[], bool], said: str
) -> None:
    bad = Part("bad", (sys.executable, "-c", code, str(tmp_path / "bad.pid")), ready, start_seconds=2.0)
    news: list[News] = []
    with pytest.raises(ConnectionError, match=said):
        Supervisor([part(tmp_path, "good"), bad], tmp_path / "logs", news.append).start(threading.Event())
    assert not is_alive(process_of(tmp_path, "good"))


def test_parts_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    alone = subprocess.Popen([sys.executable, "-c", ALONE, str(tmp_path), SLEEPER], stdout=subprocess.DEVNULL)
    try:
        until((tmp_path / "started").exists, "the part to be ready")
        child = process_of(tmp_path, "child")
        assert is_alive(child)
    finally:
        alone.kill()
        alone.wait()
    until(lambda: not is_alive(child), "the part to die with its supervisor")


def test_a_secret_in_a_parts_environment_is_in_no_argument_list(tmp_path: Path) -> None:
    with looked_after([part(tmp_path, "server", environment=lambda: {"PASSWORD": "hush-hush"})], tmp_path):
        process = process_of(tmp_path, "server")
        assert b"hush-hush" in Path(f"/proc/{process}/environ").read_bytes()
        assert b"hush-hush" not in Path(f"/proc/{process}/cmdline").read_bytes()


def test_logs_are_turned_over_while_a_part_runs_and_one_old_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LARGEST_LOG", 1000)
    logs, largest = tmp_path / "logs", 1000
    with looked_after([part(tmp_path, "web", CHATTERER)], tmp_path):
        until((logs / "web.log.1").exists, "the log to be turned over")
        first = (logs / "web.log.1").read_text()
        until(lambda: (logs / "web.log.1").read_text() != first, "it to be turned over again")
        process = process_of(tmp_path, "web")
        assert is_alive(process), "it goes on writing to the same file"
    assert sorted(path.name for path in logs.iterdir()) == ["web.log", "web.log.1"]
    assert set((logs / "web.log").read_text().split()) <= {"line"}
    assert len(first) > largest


def test_a_part_is_started_again_only_when_what_it_needs_is_ready(tmp_path: Path) -> None:
    back = threading.Event()
    server = part(tmp_path, "server")
    server = replace(server, ready=lambda: is_alive(process_of(tmp_path, "server")), prepare=lambda: _wait_for(back))
    back.set()
    with looked_after([server, part(tmp_path, "worker")], tmp_path) as news:
        back.clear()
        for name in ("worker", "server"):  # the worker's pause is over first
            os.kill(process_of(tmp_path, name), signal.SIGKILL)
        until(lambda: len(told(news, Change.DIED)) >= 3, "the server to be put off")
        assert told(news, Change.STARTED_AGAIN) == []
        back.set()
        until(lambda: len(told(news, Change.STARTED_AGAIN)) == 2, "both to be started again")
        assert told(news, Change.STARTED_AGAIN) == ["server", "worker"]


def _wait_for(back: threading.Event) -> None:
    if not back.is_set():
        raise ConfigurationError("not yet")


def test_a_part_that_cannot_be_started_again_is_put_off_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.04)
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.01)
    failing = threading.Event()

    def prepare() -> None:
        if failing.is_set():
            raise OSError(28, "No space left on device")  # foreign, and foreseen by nobody

    with looked_after([part(tmp_path, "web", prepare=prepare), part(tmp_path, "other")], tmp_path) as news:
        failing.set()
        os.kill(process_of(tmp_path, "web"), signal.SIGKILL)
        until(lambda: len(told(news, Change.DIED)) > 5, "it to be tried several times")
        assert is_alive(process_of(tmp_path, "other"))
        assert "No space left on device" in news[-1].detail
        failing.clear()
        until(lambda: told(news, Change.STARTED_AGAIN), "it to be started again")
