"""The embedded Prefect server: ``python -m blocks.server``, started by whoever needs it, one for each home.

It ends by itself when for ``DBACKUP_SERVER_IDLE`` seconds no process held the lock of users and no request came.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import uvicorn

from blocks import prefect_tables
from blocks.embedded import ADDRESS, AUTH, DATABASE, IN_USE, PORT, SERVER, folder, last_port, running
from blocks.private_files import rewritten, written_once
from core.errors import ConfigurationError
from core.settings import settings

NO_COLLECTIONS = Path(__file__).with_name("no_collections.json")
_LOOK_SECONDS = 1.0


def main() -> None:
    """Serve until idle. Does nothing when a server of this home is already up."""
    os.umask(0o077)
    gc.disable()  # what importing makes stays: looking at it again and again is a seventh of a start
    home = folder(settings())
    if not _is_ours(home / SERVER):
        return
    auth = _auth(home)
    with _listener(settings().server_port, last_port(settings())) as listener:
        port = listener.getsockname()[1]
        with suppress(ConfigurationError):  # a full disk: the next one may listen elsewhere
            rewritten(home / PORT, str(port))
        url = f"http://127.0.0.1:{port}"
        _configure(auth, url)
        os.chdir(home)  # from where the database is named
        try:
            prefect_tables.begin(home / DATABASE)
        except (OSError, sqlite3.Error) as error:
            sys.exit(f"the database {home / DATABASE} cannot be made: {error}")
        # uvicorn raises the signal that ended it once more; without a handler the address would stay behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        server = _server()
        threading.Thread(target=_watch, args=(server, home, f"{url}/api", auth), daemon=True).start()
        try:
            server.run(sockets=[listener])
        finally:
            _withdraw(home / ADDRESS, f"{url}/api")


def _listener(port: int, last: int = 0) -> socket.socket:
    """A socket of the loopback. For the port 0, the last one if it is free, so that what outlived it is answered again,
    else any that is.

    It is called TCP by its number: of sockets that leave this open, asyncio does not know that they are, and lets each
    answer of an open connection wait forty milliseconds for the other side to confirm its first half.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if not port:
            with suppress(OSError):
                listener.bind(("127.0.0.1", last))
                return listener
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}")
    return listener


def _auth(home: Path) -> str:
    """What the server asks for: random, and the same after a restart, so that what runs can go on."""
    return written_once(home / AUTH, f"dbackup:{secrets.token_urlsafe(24)}")


def _is_ours(path: Path) -> bool:
    """Take the lock of servers, waiting for one that is just ending; false when another one answers."""
    owner = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # kept open for the life of the process
    while True:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if running(settings()):
                return False
            time.sleep(_LOOK_SECONDS)
        else:
            return True


def _configure(auth: str, url: str) -> None:
    """Settings that Prefect reads when it is imported, which therefore comes after."""
    os.environ.update(
        {
            "PREFECT_SERVER_API_AUTH_STRING": auth,
            "PREFECT_API_AUTH_STRING": auth,
            "PREFECT_SERVER_UI_API_URL": f"{url}/api",
            "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the other one asks a host outside
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        }
    )


def _server() -> uvicorn.Server:
    import prefect
    from prefect.server.api.server import create_app
    from prefect.server.database.dependencies import set_database_config
    from prefect.server.models import block_registration
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    from blocks import server_plans, time_zones
    from blocks.server_database import WaitingSqlite

    time_zones.remember()
    server_plans.keep_true()
    set_database_config(WaitingSqlite(connection_url=PREFECT_API_DATABASE_CONNECTION_URL.value()))
    # The setting chooses only which interface opens first; one whose files are not found is not served at all.
    prefect.__ui_v2_static_path__ = Path(os.devnull) / "ui-v2"
    # Of a dozen integrations that are not installed, Prefect would register the blocks: four seconds of a new home.
    block_registration.COLLECTIONS_BLOCKS_DATA_PATH = NO_COLLECTIONS
    return uvicorn.Server(uvicorn.Config(create_app(final=True), log_level="warning", lifespan="on"))


def _watch(server: uvicorn.Server, home: Path, url: str, auth: str) -> None:
    """Publish the address once requests are answered, then end the server when nobody needs it."""
    while not server.started:
        time.sleep(0.02)
    gc.freeze()
    gc.enable()
    _publish(home / ADDRESS, {"url": url, "auth": auth, "pid": os.getpid()})
    last_used, seen = time.monotonic(), 0
    while time.monotonic() - last_used < settings().server_idle:
        time.sleep(_LOOK_SECONDS)
        if not _is_published(home / ADDRESS, url):  # the home was removed: nobody can find this server any more
            break
        if server.server_state.total_requests != seen or _needed(home):
            last_used, seen = time.monotonic(), server.server_state.total_requests
    _withdraw(home / ADDRESS, url)
    server.should_exit = True


def _publish(path: Path, address: dict[str, str | int]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as stream:
        json.dump(address, stream)
    beside.rename(path)


def _is_published(path: Path, url: str) -> bool:
    try:
        return bool(json.loads(path.read_text())["url"] == url)
    except (OSError, ValueError, KeyError):
        return False


def _withdraw(path: Path, url: str) -> None:
    """Take back our address, and only ours."""
    if _is_published(path, url):
        path.unlink(missing_ok=True)


def _needed(home: Path) -> bool:
    lock = os.open(home / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


if __name__ == "__main__":
    main()
