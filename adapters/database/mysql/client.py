"""Which of the installed client tools to use, and how they are called.

MariaDB's tools serve both engines. Oracle's tools write another dialect of dump than the one whose rows we can count,
so a folder that holds only them is refused by name. The tools are never asked to connect by argument: where the
server is, and who logs in, stands in an options file that must be the first argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from adapters.database.mysql.session import WAIT
from core.errors import AdapterError, ToolMissing
from core.ports import Command, Host

DUMPERS = {"mariadb-dump": "mariadb", "mysqldump": "mysql"}  # and the client that goes with each
VERSION = re.compile(r"(?:.* Distrib|.* from|.* Ver) +(\d+(?:\.\d+)+)(-MariaDB)?")
PACKET = "--max-allowed-packet=1G"  # the largest that the protocol allows: a row may be as large
DUMP = (
    "--single-transaction", "--quick", "--skip-lock-tables", "--hex-blob", "--tz-utc", "--dump-date", "--comments",
    "--triggers", "--no-tablespaces", "--default-character-set=utf8mb4", PACKET,
)  # fmt: skip
# In binary mode the client neither runs commands of its own that stand in a dump (``\! rm``) nor changes any byte.
# Without local-infile it sends no file of this machine to a dump that asks for one (``LOAD DATA LOCAL``).
LOAD = (
    "--batch", "--binary-mode", "--local-infile=0", f"--init-command={WAIT}", "--default-character-set=utf8mb4", PACKET,
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Client:
    """The tools of one release, in one folder."""

    version: tuple[int, ...]
    folder: str
    dumper: str
    mariadb: bool

    def program(self, name: str) -> str:
        """The path of one of the tools."""
        return str(PurePath(self.folder, name))

    def __str__(self) -> str:
        return f"{'mariadb-dump' if self.mariadb else 'mysqldump'} {'.'.join(map(str, self.version))}"


def dump_command(client: Client, options: Path, database: str, left_out: Iterable[str] = ()) -> Command:
    """A dump of one database, without a statement that names it: it can be loaded under any name."""
    ignored = (f"--ignore-table={database}.{table}" for table in left_out)
    code = ("--routines", "--events")
    return Command((client.program(client.dumper), _file(options), *DUMP, *code, *ignored, "--", database))


def code_command(client: Client, options: Path, database: str, *, events: bool) -> Command:
    """A dump of a database's triggers, routines and, if wanted, events; nothing else."""
    nothing = ("--no-data", "--no-create-info", "--routines", "--events" if events else "--skip-events")
    return Command((client.program(client.dumper), _file(options), *DUMP, *nothing, "--", database))


def triggers_command(client: Client, options: Path, database: str, table: str) -> Command:
    """A dump of one table's triggers; nothing else."""
    nothing = ("--no-data", "--no-create-info")
    return Command((client.program(client.dumper), _file(options), *DUMP, *nothing, "--", database, table))


def views_command(client: Client, options: Path, database: str, views: Sequence[str]) -> Command:
    """A dump of these views."""
    return Command((client.program(client.dumper), _file(options), *DUMP, "--no-data", "--", database, *views))


def load_command(client: Client, options: Path, database: str) -> Command:
    """Run an SQL script from standard input in a database; its first error is the end."""
    shell = DUMPERS[client.dumper]
    return Command((client.program(shell), _file(options), *LOAD, f"--database={database}"))


def installed(host: Host, client_path: str | None = None) -> tuple[Client, ...]:
    """The tools on the host, or in the one folder given."""
    return tuple(client for name in DUMPERS if (client := _client(host, name, client_path)) is not None)


def fitting(clients: Sequence[Client], server: str, *, mariadb: bool) -> Client:
    """The client for a server of this version. Raises ToolMissing.

    For MariaDB it must be of the server's own series or a newer one; an older one would not know what the server can
    do. MySQL has no such client: what it has that MariaDB lacks is refused by the tool itself.
    """
    ours = sorted(client for client in clients if client.mariadb)
    found = ", ".join(map(str, clients)) or "no client at all"
    series = tuple(int(part) for part in server.split(".")[:2])
    for client in ours:
        if not mariadb or client.version[:2] >= series:
            return client
    engine, wanted = (
        ("MariaDB", f"mariadb-dump {series[0]}.{series[1]} or newer")
        if mariadb
        else ("MySQL", "MariaDB's client tools")
    )
    raise ToolMissing(
        f"a {engine} {server} server is dumped with {wanted}, but this machine has {found}",
        hint="install it: apt-get install mariadb-client",
    )


def _client(host: Host, name: str, client_path: str | None) -> Client | None:
    program = host.which(name if client_path is None else str(PurePath(client_path, name)))
    if program is None:
        return None
    try:
        version = VERSION.search(host.output(Command((program, "--version"))))
    except AdapterError:
        return None  # a wrapper without the thing it wraps
    if version is None:
        return None
    return Client(tuple(map(int, version[1].split("."))), str(PurePath(program).parent), name, bool(version[2]))


def _file(options: Path) -> str:
    return f"--defaults-file={options}"
