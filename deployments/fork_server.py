"""``python -m deployments.fork_server``: a process that has imported all that a run needs, and forks for each run.

Each run has a process of its own, which keeps runs apart; to import Prefect and the flows takes it three seconds of the
processor. Here that is done once, in a process that has one thread and no connection. Its worker holds the other end of
its standard input: when that closes, it takes nothing more, and ends with the last of its runs. Who asks for a run is
:mod:`deployments.engine`, which stands for it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blocks
import flows
from deployments.engine import ENGINE, NUMBER, is_ours

NEEDED = ("prefect.flow_engine", "prefect._internal.metrics")  # beside the flows, by the engine
STEERING = ("PREFECT_", "DBACKUP_")  # begin the names of variables that may be read while importing
ASK_SECONDS = 10.0  # in which whoever has connected says what is wanted


def of_a_run(variable: str) -> bool:
    """Whether Prefect sets this variable for a single run."""
    return variable.startswith("PREFECT__")


def steering(environment: dict[str, str]) -> dict[str, str]:
    """Those that a run must have in common with its server, which has read them."""
    return {key: value for key, value in environment.items() if key.startswith(STEERING) and not of_a_run(key)}


@dataclass(frozen=True)
class Wish:
    """What the process of a run is to be like."""

    environment: dict[str, str]
    folder: str
    streams: list[int]

    def close(self) -> None:
        for stream in self.streams:
            os.close(stream)

    def take_over(self) -> None:
        """Make this process so."""
        for number, stream in enumerate(self.streams):
            os.dup2(stream, number)
        self.close()
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class _Run:
    """A forked process, and the connection to who stands for it."""

    pid: int
    handle: int
    connection: socket.socket

    def tell(self, number: int) -> None:
        with suppress(OSError):  # who stood for it was killed
            self.connection.sendall(NUMBER.pack(number))

    def close(self) -> None:
        os.close(self.handle)
        self.connection.close()


class ForkServer:
    """Forks for whoever asks, until its worker has gone and every run has ended."""

    def __init__(self, listener: socket.socket, worker: int) -> None:
        self._listener, self._worker = listener, worker
        self._steering = steering(_started_with())
        self._runs: set[_Run] = set()
        self._looked_at = selectors.DefaultSelector()
        self._looked_at.register(listener, selectors.EVENT_READ, self._take)
        self._looked_at.register(worker, selectors.EVENT_READ, self._stop)

    def serve(self) -> Wish | None:
        """In the process of a run: what it is to be like. In the server's own, at its end: None."""
        while self._looked_at.get_map():
            for key, _ in self._looked_at.select():
                # What is done about one of them may have closed another, and opened a third under its number.
                if self._looked_at.get_map().get(key.fd) is key:
                    wish: Wish | None = key.data()
                    if wish:
                        return wish
        return None

    def _take(self) -> Wish | None:
        connection, _ = self._listener.accept()
        wish = _heard(connection)
        if wish is None:
            connection.close()
            return None
        try:
            pid = os.fork() if steering(wish.environment) == self._steering else None
        except OSError:  # there is no room for one more process: who asked tries for itself
            pid = None
        if pid == 0:
            connection.close()
            self._let_go()
            return wish
        wish.close()
        if pid is None:
            connection.close()
        else:
            self._look_after(_Run(pid, os.pidfd_open(pid), connection))
        return None

    def _look_after(self, run: _Run) -> None:
        self._runs.add(run)
        self._looked_at.register(run.handle, selectors.EVENT_READ, partial(self._bury, run))
        self._looked_at.register(run.connection, selectors.EVENT_READ, partial(self._kill, run))
        run.tell(run.pid)

    def _bury(self, run: _Run) -> None:
        """Tell how a run has ended."""
        _, status = os.waitpid(run.pid, 0)
        run.tell(os.waitstatus_to_exitcode(status))
        for looked_at in (run.handle, run.connection):
            with suppress(KeyError):
                self._looked_at.unregister(looked_at)
        self._runs.remove(run)
        run.close()

    def _kill(self, run: _Run) -> None:
        """End a run whose stand-in was killed."""
        self._looked_at.unregister(run.connection)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(run.handle, signal.SIGKILL)

    def _stop(self) -> None:
        """Take nothing more, as the worker has gone."""
        for looked_at in (self._listener, self._worker):
            self._looked_at.unregister(looked_at)
        self._listener.close()

    def _let_go(self) -> None:
        """Close what is the server's: what the process of a run held open, nobody would see closed."""
        self._looked_at.close()
        self._listener.close()
        for run in self._runs:
            run.close()


def _started_with() -> dict[str, str]:
    """The environment that this process was given, before what was imported has added to it."""
    given = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
    return dict(variable.split("=", 1) for variable in given if "=" in variable)


def _heard(connection: socket.socket) -> Wish | None:
    """What is asked for, or None when nobody asks, or somebody else does."""
    if not is_ours(connection):
        return None
    connection.settimeout(ASK_SECONDS)
    streams: list[int] = []
    try:
        size, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
        with connection.makefile("rb") as told:
            asked = json.loads(told.read(*NUMBER.unpack(size)))
        connection.settimeout(None)
        return Wish(asked["environment"], asked["folder"], streams)
    except (OSError, ValueError, struct.error):  # who asked was killed
        for stream in streams:
            os.close(stream)
        return None


def main(listener: int) -> None:
    """Serve at a socket that listens. Runs that come too early wait there."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # they come to the runs, and it ends after them
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:  # before Linux 5.3
        sys.exit(f"no fork server, each run imports everything for itself: {error.strerror}")
    gc.disable()
    for module in (*NEEDED, *(f"flows.{one.name}" for one in pkgutil.iter_modules(flows.__path__))):
        importlib.import_module(module)
    blocks.record_our_lines()
    if threading.active_count() > 1:
        sys.exit("no fork server, each run imports everything for itself: something imported has started a thread")
    gc.collect()
    gc.freeze()  # what is there stays there, and its memory is shared
    gc.enable()
    with socket.socket(fileno=listener) as listening:
        wish = ForkServer(listening, sys.stdin.fileno()).serve()
    if wish:
        wish.take_over()
        _be_the_engine()


def _be_the_engine() -> None:
    """Do as Prefect's own process of a run does, from its first line on."""
    sys.argv[:] = [ENGINE]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", f"'{ENGINE}' found in sys.modules", RuntimeWarning)
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
