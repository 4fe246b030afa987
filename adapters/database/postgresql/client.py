"""Which of the installed client tools to use.

A dump wants the server's own major. The next newer one works too, but the server's own ``pg_restore`` cannot read
what a newer ``pg_dump`` wrote, so the nearest is taken and never simply the newest. An older one is refused by the
server's catalogue, so it is refused here, before anything has begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from core.errors import AdapterError, ToolMissing
from core.ports import Command, Host

# Ahead of PATH: what stands there on Debian is a wrapper that chooses a version by rules of its own.
FOLDERS = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
)
MAJORS = range(40, 9, -1)
VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
DUMPED_BY = re.compile(r"pg_dump (\d+)")


@dataclass(frozen=True, order=True)
class Client:
    """The tools of one release, in one folder."""

    major: int
    minor: int
    folder: str

    def program(self, name: str) -> str:
        """The path of one of the tools."""
        return str(PurePath(self.folder, name))

    def __str__(self) -> str:
        return f"pg_dump {self.major}.{self.minor}"


def installed(host: Host, client_path: str | None = None) -> tuple[Client, ...]:
    """Every release of the tools on the host, or in the one folder given."""
    clients = (_client(host, folder) for folder in dict.fromkeys(_folders(host, client_path)))
    return tuple(client for client in clients if client is not None)


def for_dump(clients: Sequence[Client], server: int) -> Client:
    """The client to dump a server of this major with. Raises ToolMissing."""
    return _nearest(clients, server, f"a PostgreSQL {server} server can only be dumped by pg_dump {server} or newer")


def for_restore(clients: Sequence[Client], server: int, dumped_by: str) -> Client:
    """The client to restore with: it reads what ``dumped_by`` wrote. Raises ToolMissing."""
    dumped = DUMPED_BY.search(dumped_by)
    if dumped is None:
        return _nearest(clients, server, f"no pg_restore for PostgreSQL {server} was found")
    return _nearest(
        clients, int(dumped[1]), f"a dump by {dumped_by} can only be read by pg_restore {dumped[1]} or newer"
    )


def _nearest(clients: Sequence[Client], major: int, rule: str) -> Client:
    fitting = [client for client in clients if client.major >= major]
    if not fitting:
        found = ", ".join(f"{client.major}.{client.minor}" for client in clients) or "no client at all"
        raise ToolMissing(
            f"{rule}, but this machine has {found}", hint=f"install it: apt-get install postgresql-client-{major}"
        )
    return min(fitting, key=lambda client: (client.major, -client.minor))


def _folders(host: Host, client_path: str | None) -> Iterator[str]:
    if client_path is not None:
        yield client_path
        return
    yield from (folder.format(major=major) for major in MAJORS for folder in FOLDERS)
    if found := host.which("pg_dump"):
        yield str(PurePath(found).parent)


def _client(host: Host, folder: str) -> Client | None:
    program = str(PurePath(folder, "pg_dump"))
    if host.which(program) is None:
        return None
    try:
        version = VERSION.search(host.output(Command((program, "--version"))))
    except AdapterError:
        return None  # a wrapper without the thing it wraps
    return Client(int(version[1]), int(version[2] or 0), folder) if version else None
