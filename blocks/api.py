"""A Prefect API that answers: the one that is configured, or the embedded server of this home.

Starting a Prefect server takes about ten seconds, so the embedded one stays for a while after it was last used
(``DBACKUP_SERVER_IDLE`` seconds). It listens on the loopback only and asks for a random password, both written to
a 0600 file in the home.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from blocks.encryption_key import encryption_keys
from core.errors import ConfigurationError, ConnectionError
from core.log import logger
from core.settings import Settings, settings

ADDRESS = "server.json"  # where the embedded server answers and what it asks for
IN_USE = "in-use"  # locked, shared, by every process that needs the embedded server
SERVER = "serving"  # locked by the embedded server itself: one for each home
LOG = "server.log"

_START_SECONDS = 90.0  # a cold start on a slow disk has been seen to take 30
log = logger(service="prefect")


@dataclass(frozen=True)
class Api:
    """Where a Prefect API answers, and what it asks for."""

    url: str
    auth: str | None = field(default=None, repr=False)
    embedded: bool = False

    def answers(self, timeout: float = 2.0) -> bool:
        """Whether it is there and takes our password."""
        try:
            auth = tuple(self.auth.split(":", 1)) if self.auth else None
            return httpx.get(f"{self.url}/admin/version", auth=auth, timeout=timeout).is_success  # type: ignore[arg-type]
        except httpx.HTTPError:
            return False


_current: ContextVar[Api | None] = ContextVar("prefect_api", default=None)


def folder(current: Settings) -> Path:
    """The embedded server's own folder."""
    return current.home / "prefect"


@contextmanager
def prefect_api() -> Iterator[Api]:
    """Within this context a Prefect API answers, and Prefect uses it. Raises ConnectionError."""
    if (api := _current.get()) is not None:
        yield api
    elif url := PREFECT_API_URL.value():
        yield from _within(_configured(url))
    else:
        with _in_use(settings()):
            api = _embedded(settings())
            with temporary_settings({PREFECT_API_URL: api.url, PREFECT_API_AUTH_STRING: api.auth}):
                yield from _within(api)


def _within(api: Api) -> Iterator[Api]:
    token = _current.set(api)
    try:
        yield api
    finally:
        _current.reset(token)


def _configured(url: str) -> Api:
    secret = PREFECT_API_AUTH_STRING.value()
    api = Api(url.rstrip("/"), secret.get_secret_value() if isinstance(secret, SecretStr) else secret)
    if not api.answers(timeout=10.0):
        raise ConnectionError(
            f"the Prefect API at {api.url} does not answer, or refuses PREFECT_API_AUTH_STRING",
            hint="start it, or correct or unset PREFECT_API_URL and PREFECT_API_AUTH_STRING",
        )
    return api


@contextmanager
def _in_use(current: Settings) -> Iterator[None]:
    """Hold the lock that keeps the embedded server from ending for want of use."""
    encryption_keys()  # the first use of a home makes the key; it must exist before anything is kept there
    try:
        folder(current).mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder(current) / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {folder(current)}: {error.strerror}", hint="set DBACKUP_HOME to a writable folder"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def running(current: Settings) -> Api | None:
    """The embedded server, when it is up."""
    try:
        written = json.loads((folder(current) / ADDRESS).read_text())
        api = Api(written["url"], written["auth"], embedded=True)
    except (OSError, ValueError, KeyError):
        return None
    return api if api.answers() else None


def _embedded(current: Settings) -> Api:
    if api := running(current):
        return api
    log.info("starting the embedded Prefect server, this takes about ten seconds the first time")
    process = _start(current)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if api := running(current):
            return api
        if process.poll():
            break
        time.sleep(0.1)
    raise ConnectionError(
        "the embedded Prefect server did not start",
        hint=f"its log says why: {folder(current) / LOG}",
    )


def _start(current: Settings) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that it outlives this command."""
    with (folder(current) / LOG).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "blocks.server"],
            env={**os.environ, "DBACKUP_HOME": str(current.home), "PREFECT_HOME": str(folder(current))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
