"""The fork server of a worker: started for a run when there is none, ended when there was no run for a while."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from core.log import logger
from deployments import engine
from deployments.fork_server import of_a_run

IDLE_SECONDS = 600.0  # without a run, after which its memory is given back
log = logger(service="worker")


class Forks:
    """What a worker knows of its fork server."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._runs = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._name = ""
        self._ending: asyncio.TimerHandle | None = None

    @contextmanager
    def command(self, environment: Mapping[str, str | None]) -> Iterator[list[str]]:
        """What starts a run with this environment. Within this context the server stays."""
        self._runs += 1
        if self._ending:
            self._ending.cancel()
        try:
            yield [sys.executable, "-P", engine.__file__, self._started(environment)]
        finally:
            self._runs -= 1
            if not self._runs:
                self._ending = asyncio.get_running_loop().call_later(self._idle_seconds, self._end)

    def _started(self, environment: Mapping[str, str | None]) -> str:
        """The name under which it answers. Where it can't be started, or has given up by itself, nobody does."""
        ended = self._server.poll() if self._server else 0
        if ended is None or ended > 0:
            return self._name
        self._name = secrets.token_hex(16)
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(engine.address(self._name))
                listener.listen()
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "deployments.fork_server", str(listener.fileno())],
                    stdin=subprocess.PIPE,
                    pass_fds=[listener.fileno()],
                    env={key: value for key, value in environment.items() if value is not None and not of_a_run(key)},
                )
        except OSError as error:
            log.warning("no fork server: each run imports everything for itself", reason=str(error))
        return self._name

    def _end(self) -> None:
        if self._server and self._server.stdin:
            self._server.stdin.close()
            self._server = None
