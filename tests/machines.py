"""Several machines on this one: each with a network, a name, processes and a disk of its own, and one server for all.

A machine is a network namespace at the end of a cable. What is started on it sees its own host name, its own processes
and its own disk, and reaches nothing but the servers: Prefect's on PostgreSQL, the catalog, and S3. It takes root.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.environment import without_ours
from tests.servers import install
from tests.servers.postgresql import Server, running
from tests.servers.processes import free_port, started
from tests.servers.proxy import LOOPBACK, proxied
from tests.servers.s3 import S3Server, rclone_serving
from tests.system import COMMAND, START_SECONDS, user_of
from tests.waiting import until

NETWORK = f"10.213.{os.getpid() % 256}"  # of which each cable takes four addresses; other tests have others
SERVERS = f"{NETWORK}.1"  # ours on the first cable, which the others reach by theirs
LOST_AFTER = 35  # seconds
S3_BUCKET = "machines"
_ISOLATED = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_BOOT = 'hostname "$0" && mount --bind "$1" "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """One machine. ``disk`` is a path that every machine has, and each for itself; here it lies in ``own_disk``."""

    name: str
    folder: Path
    disk: Path
    shared: Mapping[str, str] = field(repr=False)

    @property
    def own_disk(self) -> Path:
        return self.folder / "disk"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def said(self) -> str:
        """What its system has told."""
        return (self.folder / "up.log").read_text()

    def argv(self, *command: object) -> list[str]:
        """What starts a program on this machine."""
        inside = ["ip", "netns", "exec", _namespace(self.name), *_ISOLATED]
        return [*inside, "sh", "-c", _BOOT, self.name, str(self.own_disk), str(self.disk), *map(str, command)]

    @property
    def environment(self) -> dict[str, str]:
        """What every program on it has for settings: the servers of all, and a home of its own."""
        own = {"DBACKUP_HOME": str(self.home), "DBACKUP_SCRATCH": str(self.folder / "scratch")}
        return {**without_ours(), **self.shared, **own, "PREFECT_HOME": str(self.folder / "profiles")}

    def dbackup(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command that somebody types on it."""
        argv = self.argv(COMMAND, *arguments)
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=200, check=False)

    @contextmanager
    def up(self, *labels: str) -> Iterator[subprocess.Popen[bytes]]:
        """Its worker, from its start on; ended in order, unless it was killed. All of it dies with this process."""
        queues = [argument for label in labels for argument in ("--queue", label)]
        with (self.folder / "up.log").open("ab") as log:
            process = subprocess.Popen(
                self.argv(COMMAND, "up", "--worker", *queues),
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            self._end(process)

    def is_up(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether its worker is ready. Fails when it has ended."""
        if process.poll() is not None:
            pytest.fail(f"{self.name} did not start:\n{self.said}")
        return "ready after" in self.said

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)  # the machine's first process: what isolates it ends with it
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Site:
    """The machines, and what they share."""

    machines: tuple[Machine, ...]
    s3: str = field(repr=False)  # the URL of the storage that all reach
    folder: Path


@contextmanager
def site(folder: Path, *names: str) -> Iterator[Site]:
    """Machines of these names; within this context this process is a user of their server, too."""
    key = secrets.token_hex(32)
    with ExitStack() as stack:
        for number, name in enumerate(names):
            stack.enter_context(_cable(name, number))
        servers = stack.enter_context(servers_up(folder))
        for port in servers.ports:
            stack.enter_context(proxied(port, host=SERVERS, port=port))
        shared = {**servers.shared(SERVERS), "DBACKUP_ENCRYPTION_KEY": key, "DBACKUP_LOST_AFTER": str(LOST_AFTER)}
        machines = tuple(_machine(folder, name, shared) for name in names)
        stack.enter_context(using(folder / "ours", shared))
        yield Site(machines, servers.s3.url("shared", bucket=S3_BUCKET).replace(LOOPBACK, SERVERS), folder)


def _machine(folder: Path, name: str, shared: Mapping[str, str]) -> Machine:
    machine = Machine(name, folder / name, folder / "disk", shared)
    for place in (machine.disk, machine.own_disk):
        place.mkdir(parents=True, exist_ok=True)
    return machine


@contextmanager
def _cable(name: str, number: int) -> Iterator[None]:
    """A network namespace, and a cable from here to it. Fails where that is not permitted."""
    namespace, here = _namespace(name), f"db{os.getpid()}-{number}"
    ours, there = (f"{NETWORK}.{4 * number + end}" for end in (1, 2))
    try:
        _ip("netns", "add", namespace)
        _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("addr", "add", f"{ours}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", namespace, "addr", "add", f"{there}/30", "dev", "eth0")
        for one in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", one, "up")
        _ip("-n", namespace, "route", "add", "default", "via", ours)
        yield
    finally:
        for command in (("link", "del", here), ("netns", "del", namespace)):
            subprocess.run(["ip", *command], check=False, capture_output=True)


def _namespace(machine: str) -> str:
    """What the network of a machine is called here, beside those of other runs of the tests."""
    return f"dbackup-{os.getpid()}-{machine}"


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail(f"iproute2 is not installed; {install.INSTALL}")
    if done.returncode:
        pytest.fail(
            "these tests make network namespaces, which takes root and CAP_SYS_ADMIN: "
            f"ip {' '.join(arguments)}: {done.stderr.strip()}"
        )


@dataclass(frozen=True)
class Servers:
    """What machines share: Prefect's server, the database below it and the catalog, and S3."""

    process: subprocess.Popen[bytes]
    prefect: int
    auth: str = field(repr=False)
    database: Server
    s3: S3Server

    @property
    def ports(self) -> tuple[int, ...]:
        """Where they listen on the loopback."""
        return self.prefect, self.database.port, self.s3.port

    def shared(self, host: str) -> dict[str, str]:
        """The settings of whoever reaches them at this address."""
        catalog = self.database.url("catalog").replace("postgresql://", "postgresql+psycopg://")
        return {
            "PREFECT_API_URL": f"http://{host}:{self.prefect}/api",
            "PREFECT_API_AUTH_STRING": self.auth,
            "DBACKUP_DATABASE_URL": catalog.replace(LOOPBACK, host),
        }


@contextmanager
def servers_up(folder: Path) -> Iterator[Servers]:
    """PostgreSQL with two databases, Prefect's server on one of them, and S3, all on the loopback."""
    binaries = install.postgresql_servers()
    if not binaries:
        pytest.fail(f"PostgreSQL is not installed; {install.INSTALL}")
    (folder / "s3" / S3_BUCKET).mkdir(parents=True)
    auth, port = f"dbackup:{secrets.token_urlsafe(24)}", free_port()
    with ExitStack() as stack:
        database = stack.enter_context(running(binaries[-1]))
        for name in ("prefect", "catalog"):
            database.create(name)
        s3 = stack.enter_context(rclone_serving(folder / "s3"))
        url = database.url("prefect").replace("://", "+asyncpg://")
        process = stack.enter_context(_prefect(folder, port, auth, url))
        yield Servers(process, port, auth, database, s3)


@contextmanager
def _prefect(folder: Path, port: int, auth: str, database: str) -> Iterator[subprocess.Popen[bytes]]:
    """Prefect's own server, as docs/machines.md starts it."""
    environment = {
        "PATH": os.environ["PATH"],
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    command = [Path(sys.executable).with_name("prefect"), "server", "start", "--host", LOOPBACK, "--port", str(port)]
    url, log = f"http://{LOOPBACK}:{port}/api/health", folder / "prefect.log"
    with started(command, lambda: _answers(url), log, env=environment, seconds=START_SECONDS) as process:
        yield process


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code in (200, 401)
    except httpx.HTTPError:
        return False


@contextmanager
def using(home: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Within this context this process uses the servers with these settings."""
    api = {PREFECT_API_URL: settings["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: settings["PREFECT_API_AUTH_STRING"]}
    with user_of(home, **settings), temporary_settings(api):
        yield


def all_up(*started: tuple[Machine, subprocess.Popen[bytes]]) -> None:
    """Wait until the workers of these machines are ready."""
    until(lambda: all(machine.is_up(process) for machine, process in started), "the workers", seconds=START_SECONDS)
