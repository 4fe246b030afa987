"""``python -P …/deployments/engine.py NAME``: the run that the environment names, in a process that is forked for it.

Prefect starts this process, watches it and ends it, and it stands for the run: what it is told, the run is told; as the
run ends, it ends; when it is killed, the run is. Where no fork server answers to the name, it becomes Prefect's own
engine. It takes nothing but the standard library, not even its package: what takes seconds, the fork server has done.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

ENGINE = "prefect.engine"  # the module that carries out a run
NUMBER = struct.Struct("=i")  # the process of the run, then how it has ended; negative for a signal
_CREDENTIALS = struct.Struct("3i")  # process, user and group
_STREAMS = (0, 1, 2)


def address(name: str) -> str:
    """Where a fork server listens: in the kernel's own list of names, so that it leaves no file behind."""
    return f"\0dbackup-engine-{name}"


def is_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's: anybody may take, or ask for, any name."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1]) == os.geteuid()


def main(name: str) -> None:
    """Follow a forked run to its end, or else be the engine."""
    with socket.socket(socket.AF_UNIX) as connection:
        run = _ask(connection, name)
        ended = _follow(connection, run) if run else None
    if ended is None:
        os.execv(sys.executable, [sys.executable, "-m", ENGINE])  # noqa: S606
    if ended < 0:
        if -ended != signal.SIGKILL:
            signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)


def _ask(connection: socket.socket, name: str) -> int | None:
    """The process that was forked for this run, or None."""
    wish = json.dumps({"environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    with suppress(OSError):  # there is no fork server any more, or it has died just now
        connection.connect(address(name))
        if is_ours(connection):
            socket.send_fds(connection, [NUMBER.pack(len(wish))], _STREAMS)
            connection.sendall(wish)
            return _number(connection)
    return None


def _follow(connection: socket.socket, run: int) -> int:
    """Hand down what this process is told until the run has ended, and give how it has."""
    try:
        process = os.pidfd_open(run)
    except ProcessLookupError:  # it has ended already, which is told next
        return _number(connection) or 0

    def hand_down(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, hand_down)
    with suppress(OSError):
        if (ended := _number(connection)) is not None:
            return ended
    # The fork server was killed. The run goes on, and tells Prefect itself how it ends.
    select.select([process], [], [])
    return 0


def _number(connection: socket.socket) -> int | None:
    """The next answer, or None when none comes any more."""
    told = connection.recv(NUMBER.size, socket.MSG_WAITALL)
    return int(NUMBER.unpack(told)[0]) if len(told) == NUMBER.size else None


if __name__ == "__main__":
    main(sys.argv[1])
