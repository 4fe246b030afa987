"""The embedded Prefect server of a home, as others see it: where it answers, whether it does, how it is started.

Starting one takes about ten seconds, so it stays for a while after it was last used (``DBACKUP_SERVER_IDLE``
seconds). It listens on the loopback only and asks for a random password; both stand in a 0600 file in the home.
Nothing here imports Prefect, for the server must set what Prefect reads before that.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx

from blocks.encryption_key import encryption_keys
from blocks.private_files import rewritten, written_once
from core.errors import ConfigurationError, ConnectionError
from core.log import logger
from core.settings import Settings

AUTH = "server.auth"  # user and password
ADDRESS = "server.json"  # where the embedded server answers and what it asks for
PORT = "server.port"  # where the last one listened: runs that outlived it ask there
IN_USE = "in-use"  # locked, shared, by every process that needs the embedded server
SERVER = "serving"  # locked by the embedded server itself: one for each home
SYSTEM = "up.lock"  # in the home itself; locked by the one system that a home can have, which looks after the server
LOG = "server.log"
BLOCK_KEY = "block.key"
DATABASE = "prefect.db"
# Each of Prefect's clients reads all authorities of certificates, thirty milliseconds of processor time, also for an
# address without https. For the embedded server, they read this file: one certificate, whose key was never kept.
NO_AUTHORITY = Path(__file__).with_name("no_authority.pem")

_END_SECONDS = 30.0
_START_SECONDS = 90.0  # a cold start on a slow disk has been seen to take 30
log = logger(service="prefect")


@cache
def authorities() -> ssl.SSLContext:
    """What httpx trusts if nothing else is said. It would read it anew for each client, also where nothing is https."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Api:
    """Where a Prefect API answers, and what it asks for."""

    url: str
    auth: str | None = field(default=None, repr=False)
    embedded: bool = False

    def answers(self, timeout: float = 2.0) -> bool:
        """Whether it is there and takes our password."""
        user, _, password = (self.auth or "").partition(":")
        try:
            # A proxy of the environment is for others: the embedded server is on this machine.
            with httpx.Client(
                auth=(user, password), timeout=timeout, trust_env=not self.embedded, verify=authorities()
            ) as client:
                return client.get(f"{self.url}/admin/version").is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            return False


def folder(current: Settings) -> Path:
    """The embedded server's own folder."""
    return current.home / "prefect"


@contextmanager
def in_use(current: Settings) -> Iterator[None]:
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
    """The embedded server, when it is up. An address that a dead server left behind is not asked."""
    try:
        written = json.loads((folder(current) / ADDRESS).read_text())
        api = Api(str(written["url"]), str(written["auth"]), embedded=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return api if _is_served(current) and api.answers() else None


def last_port(current: Settings) -> int:
    """The port that the last server of this home had; 0 when none is known."""
    try:
        port = int((folder(current) / PORT).read_text())
    except (OSError, ValueError):
        return 0
    return port if 0 <= port < 1 << 16 else 0


def is_supervised(current: Settings) -> bool:
    """Whether a system of this home runs."""
    return _is_held(current.home / SYSTEM)


def _is_served(current: Settings) -> bool:
    """Whether a server of this home lives: only then is what listens at its address ours, and not somebody else's."""
    return _is_held(folder(current) / SERVER)


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def embedded(current: Settings) -> Api:
    """The embedded server, started when it is not up. Raises ConnectionError."""
    if api := running(current) or _looked_after(current):
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


def _looked_after(current: Settings) -> Api | None:
    """The server of a system that runs, once it answers: that one starts it, at the address that its worker knows.

    None when no system runs any longer. Raises ConnectionError when its server stays away.
    """
    deadline = time.monotonic() + _START_SECONDS
    while is_supervised(current):
        if api := running(current):
            return api
        if time.monotonic() > deadline:
            raise ConnectionError(
                "the Prefect server of the system that runs here does not answer",
                hint=f"look at what dbackup up says, and at {current.home / 'logs' / 'server.log'}",
            )
        time.sleep(0.1)
    return None


def _block_key(current: Settings) -> str:
    """The key of Prefect's own encryption: random, made once, and sealed under the ENCRYPTION_KEY.

    Without one, Prefect would keep a key beside what it encrypts. Raises WrongKey before a server is started that
    could open nothing.
    """
    made = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    sealed = written_once(folder(current) / BLOCK_KEY, encryption_keys().seal(made, BLOCK_KEY))
    return encryption_keys().unseal(sealed, BLOCK_KEY)


def reseal_block_key(current: Settings) -> bool:
    """Seal Prefect's own key under the current ENCRYPTION_KEY; false when there is none or it is so already."""
    path, keys = folder(current) / BLOCK_KEY, encryption_keys()
    if not path.exists() or keys.is_current(sealed := path.read_text()):
        return False
    rewritten(path, keys.seal(keys.unseal(sealed, BLOCK_KEY), BLOCK_KEY))
    return True


def ended(current: Settings) -> int | None:
    """End the server of this home, if one runs, and give the port that it had. Raises ConnectionError."""
    if (api := running(current)) is None:
        return None
    process = int(json.loads((folder(current) / ADDRESS).read_text())["pid"])
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    while _is_served(current):
        if time.monotonic() > deadline:
            raise ConnectionError(
                "the embedded Prefect server does not end", hint=f"end process {process}, then try again"
            )
        time.sleep(0.1)
    return httpx.URL(api.url).port


def command() -> tuple[str, ...]:
    """What starts the server."""
    return (sys.executable, "-m", "blocks.server")


def environment(current: Settings) -> dict[str, str]:
    """What the server has in its environment beside ours. Raises WrongKey and ConfigurationError."""
    return {
        "DBACKUP_HOME": str(current.home),
        "PREFECT_HOME": str(folder(current)),
        # Where Prefect keeps it anyway, named from there: in a URL, a ? or % of the path would mean something else.
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{DATABASE}",
        "PREFECT_SERVER_ENCRYPTION_KEY": _block_key(current),
        # In memory, what a run holds of its job's limit would be lost with the server, and Prefect would end the run.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # What becomes of a run's steps is written down once a second, not in a transaction for each of their states:
        # that was half of what a run cost the server. Prefect takes less than a second for none, and never rests.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # A command that quiets Prefect's console is not to quiet the server's log.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "NOTSET",
        "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "NOTSET",
    }


def _start(current: Settings) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that it outlives this command."""
    added = environment(current)
    log_file = os.open(folder(current) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(log_file, "ab") as output:
        return subprocess.Popen(
            command(),
            env={**{name: value for name, value in os.environ.items() if name != "DBACKUP_PASSWORD"}, **added},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
