"""The client tools: where they are, and what they are told.

Commands are built by pure functions. The connection string reaches a tool in a file without a name, which lies in
memory and is gone with the process that made it: nothing is left on a disk, however a run ends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from adapters.database.mongodb.config import MongoDBConfig
from core.errors import ToolMissing
from core.ports import Command, Host

VERSION = re.compile(r"version: (\S+)")
STRICT = ("--stopOnError", "--bypassDocumentValidation")
INSTALL = "install MongoDB's database tools (the package mongodb-database-tools), or set client_path to their folder"


@dataclass(frozen=True)
class Client:
    """The tools of one release, in one folder."""

    version: str
    folder: str

    def program(self, name: str) -> str:
        """The path of one of the tools."""
        return str(PurePath(self.folder, name))

    def __str__(self) -> str:
        return f"mongodump {self.version}"


def installed(host: Host, client_path: str | None = None) -> Client:
    """The tools on PATH, or in the one folder given. Raises ToolMissing."""
    programs = {name: host.which(_named(name, client_path)) for name in ("mongodump", "mongorestore")}
    if missing := [name for name, path in programs.items() if path is None]:
        raise ToolMissing(f"{' and '.join(missing)} cannot be found", hint=INSTALL)
    found = str(programs["mongodump"])
    version = VERSION.search(host.output(Command((found, "--version"))))
    if version is None:
        raise ToolMissing(f"{found} does not say its version", hint=INSTALL)
    return Client(version[1], str(PurePath(found).parent))


def dump_command(client: Client, settings: str, database: str, excluded: Sequence[str] = ()) -> Command:
    """A dump of one database as an archive to standard output."""
    left_out = (f"--excludeCollection={name}" for name in excluded)
    return Command((client.program("mongodump"), f"--config={settings}", f"--db={database}", "--archive", *left_out))


def instance_dump_command(client: Client, settings: str) -> Command:
    """A dump of every database, with the operations that are recorded meanwhile, to standard output."""
    return Command((client.program("mongodump"), f"--config={settings}", "--archive", "--oplog"))


def restore_command(client: Client, settings: str, dumped: str, name: str) -> Command:
    """Load an archive of the database ``dumped`` from standard input, as the database ``name``.

    Validators come back, and judge nothing on the way: documents may be older than the rule of their collection.
    """
    renaming = (f"--nsInclude={_pattern(dumped)}.*", f"--nsFrom={_pattern(dumped)}.*", f"--nsTo={_pattern(name)}.*")
    return Command((client.program("mongorestore"), f"--config={settings}", "--archive", *STRICT, *renaming))


def instance_restore_command(client: Client, settings: str) -> Command:
    """Load an archive of every database from standard input, and replay the operations in it.

    mongorestore refuses to replay them together with a choice or a new name.
    """
    return Command((client.program("mongorestore"), f"--config={settings}", "--archive", *STRICT, "--oplogReplay"))


@contextmanager
def private_settings(config: MongoDBConfig) -> Iterator[str]:
    """The path under which the tools, run by the same user, find the connection string."""
    descriptor = os.memfd_create("dbackup", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, config.tool_file())
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _named(program: str, client_path: str | None) -> str:
    return program if client_path is None else str(PurePath(client_path, program))


def _pattern(name: str) -> str:
    """A name as a pattern that only it fits. Names of databases hold neither a backslash nor a dollar sign."""
    return name.replace("*", r"\*")
