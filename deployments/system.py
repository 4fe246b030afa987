"""The whole system on one machine: which parts it has, in the order in which they start.

With ``PREFECT_API_URL`` set the server is somebody else's, and this machine only works for it; as a mere worker it
serves no pages either.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import httpx

from blocks import embedded
from core.errors import ConfigurationError, ConnectionError
from core.jobs import DEFAULT_QUEUE
from core.settings import Settings, settings
from deployments.supervisor import News, Part, Supervisor

if TYPE_CHECKING:
    from deployments.caretaker import Caretaker

END_SECONDS = 25.0  # that the worker takes at most to end what runs
LOGS = "logs"


@contextmanager
def the_only_one(home: Path) -> Iterator[None]:
    """Hold the lock of the one system that a home can have. Raises ConfigurationError when another one runs."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / embedded.SYSTEM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {home}: {error.strerror}", hint="set DBACKUP_HOME to a writable folder"
        ) from None
    try:
        _take(lock, home)
        yield
    finally:
        os.close(lock)


def _take(lock: int, home: Path) -> None:
    """Take the lock, also while a command looks at it, which takes a moment."""
    deadline = time.monotonic() + 1.0
    while not _taken(lock):
        if time.monotonic() > deadline:
            owner = (home / embedded.SYSTEM).read_text().strip() or "?"
            raise ConfigurationError(
                f"a system of this home runs already, as process {owner}",
                hint=f"stop that one first, or set DBACKUP_HOME to another folder than {home}",
            )
        time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Extent:
    """How much of a system a machine runs: for which labels of the queue, and whether it is only a worker of others."""

    labels: tuple[str, ...] = (DEFAULT_QUEUE,)
    only_worker: bool = False


def run(extent: Extent, tell: Callable[[News], None], started: Callable[[], None], ended: Event) -> None:
    """Run the system until ``ended`` is set; ``started`` is called once everything is ready.

    Raises ConfigurationError when a system of this home runs already, a port is in use, or what a worker has to share
    with others is not set; ConnectionError when a part does not become ready.
    """
    current = settings()
    if extent.only_worker:
        _require_shared(current)
    with ExitStack() as stack:
        stack.enter_context(the_only_one(current.home))
        shared = bool(os.environ.get("PREFECT_API_URL"))
        if not shared:
            stack.enter_context(embedded.in_use(current))
        pages = [] if extent.only_worker else [_web(current)]
        server = [] if shared else [_server(current)]
        parts = [*server, _worker(extent.labels), *pages]
        supervisor = Supervisor(parts, current.home / LOGS, tell)
        # It imports Prefect, which takes seconds: the server starts meanwhile.
        Thread(target=import_module, args=("deployments.caretaker",), daemon=True).start()
        try:
            supervisor.start(ended)
            if not ended.is_set():
                started()
            with _caretaker(extent.labels).at_work():
                supervisor.watch(ended)
        finally:
            supervisor.stop()


def _require_shared(current: Settings) -> None:
    """Refuse to work for others with something that only this machine has."""
    shared = {
        "PREFECT_API_URL": bool(os.environ.get("PREFECT_API_URL")),
        "DBACKUP_ENCRYPTION_KEY": current.encryption_key is not None,
        "DBACKUP_DATABASE_URL": bool(current.database_url) and not current.catalog_url.startswith("sqlite"),
    }
    if missing := [name for name, given in shared.items() if not given]:
        raise ConfigurationError(
            f"a worker shares the server, the key and the catalog of others, and {missing[0]} does not say which",
            hint=f"set {', '.join(shared)} to what the others have; the catalog has to be in PostgreSQL",
        )


@lru_cache(maxsize=1)
def _caretaker(labels: tuple[str, ...]) -> Caretaker:
    from deployments.caretaker import Caretaker

    return Caretaker(labels)


def _server(current: Settings) -> Part:
    port = _port(current)
    return Part(
        "server",
        embedded.command(),
        ready=lambda: embedded.running(current) is not None,
        address=lambda: f"http://127.0.0.1:{port}",
        environment=lambda: {**embedded.environment(current), "DBACKUP_SERVER_PORT": str(port)},
        stop_seconds=20.0,  # it writes down what it still holds
    )


def _port(current: Settings) -> int:
    """Where the server is going to listen, now and after every restart.

    A server that a command has started makes room for ours, which answers at the same address to the same password. So
    does ours after a system that was killed, if it can: runs that outlived it tell their end there.
    """
    before = embedded.ended(current)
    if wanted := current.server_port or before:
        return _require_free("127.0.0.1", wanted, "DBACKUP_SERVER_PORT")
    with suppress(ConfigurationError):
        return _require_free("127.0.0.1", embedded.last_port(current), "DBACKUP_SERVER_PORT")
    return _require_free("127.0.0.1", 0, "DBACKUP_SERVER_PORT")


def _require_free(host: str, port: int, setting: str) -> int:
    """The port, or for 0 any that is free. Raises ConfigurationError when somebody else listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of {host} cannot be used: {error.strerror}",
                hint=f"end what uses it, or set {setting} to another one",
            ) from None
        return int(listener.getsockname()[1])


def _worker(labels: tuple[str, ...]) -> Part:
    from_where = "" if labels == (DEFAULT_QUEUE,) else f" under {', '.join(labels)}"
    return Part(
        "worker",
        (sys.executable, "-m", "deployments.worker", *labels),
        ready=lambda: _is_served(labels),
        address=lambda: f"takes from the queue{from_where} as {socket.gethostname()}",
        environment=_api,
        prepare=lambda: _caretaker(labels).prepare(),
        needed=False,
        stop_seconds=END_SECONDS + 10,
    )


def _web(current: Settings) -> Part:
    """The pages. Their port is looked at now, before anything is ended or started, and before each start."""

    def require_port() -> None:
        _require_free(current.web_host, current.web_port, "DBACKUP_WEB_PORT")

    require_port()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(current.web_host, current.web_host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{current.web_port}"
    return Part(
        "web",
        (sys.executable, "-m", "dashboard"),
        ready=lambda: _answers(f"{url}/health"),
        address=lambda: url,
        environment=_api,
        prepare=require_port,
    )


def _answers(url: str) -> bool:
    """Whether anything answers there, well or not."""
    try:
        httpx.get(url, timeout=2.0, trust_env=False, verify=embedded.authorities())
    except httpx.HTTPError:
        return False
    return True


def _api() -> Mapping[str, str]:
    """Where the worker and its runs find the API, and how much they say. Raises ConnectionError when it is away."""
    quick = {
        "DBACKUP_HOME": str(settings().home),  # by which a home knows its runs
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",  # 30 unless set, and up to 39: as long as a worker may be silent
        "PREFECT_LOGGING_LEVEL": settings().log_level.upper(),  # what is recorded of a run
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # what of that is written to the worker's log, too
    }
    if os.environ.get("PREFECT_API_URL"):
        return quick
    if (api := embedded.running(settings())) is None:  # without an address, Prefect would start a server of its own
        raise ConnectionError("the Prefect server does not answer", hint="its log is in the home: logs/server.log")
    return {
        **quick,
        "PREFECT_API_URL": api.url,
        "PREFECT_API_AUTH_STRING": api.auth or "",
        "PREFECT_API_SSL_CERT_FILE": str(embedded.NO_AUTHORITY),
    }


def _is_served(labels: Iterable[str]) -> bool:
    from deployments import pool

    here, queue = socket.gethostname(), pool.look()
    return any(one.alive and one.name == here for one in queue.workers) and all(map(queue.serves, labels))
