"""All databases of a replica set on their way out, as of one moment.

mongodump reads one collection after another, and records what is written meanwhile; when that is replayed after a
restore, all of them are as they were when the dump ended. mongorestore replays it only for everything at once and under
the old names, so a single database comes back as it was while it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from pymongo.errors import OperationFailure

from adapters.database.mongodb import client as tools
from adapters.database.mongodb.archive import OPLOG, Archive
from adapters.database.mongodb.client import Client
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mongodb.session import NOT_ALLOWED, SYSTEM, connected
from core.errors import DumpError
from core.log import logger
from core.manifest import Contents
from core.ports import Host
from core.streams import Chunk

log = logger(engine="mongodb")

POINT_IN_TIME = "point in time: as all databases were when the dump ended, once the recorded operations are replayed"
NO_USERS = "users and roles are not in it: the server showed mongodump none"
USERS = ("admin", "system.users")
ALONE = "restored alone it is not point in time: what was written during the dump is not replayed"


class MongoDBInstanceDump:
    """Every database in one archive. Enter it, draw its chunks once, ask for its contents, leave it."""

    dump_format = "archive"
    extension = "archive"

    def __init__(self, config: MongoDBConfig, host: Host, client: Client, databases: Sequence[str]) -> None:
        self._config, self._host, self._client, self._wanted = config, host, client, databases
        self._archive = Archive(DumpError, "look into the server's log, then try again")
        self._held = ExitStack()

    def __enter__(self) -> MongoDBInstanceDump:
        with ExitStack() as opening:
            settings = opening.enter_context(tools.private_settings(self._config))
            command = tools.instance_dump_command(self._client, settings)
            self._stream = opening.enter_context(self._host.stream(command))
            self._held = opening.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The archive. Raises DumpError after the last chunk unless it is whole and holds what was asked for."""
        yield from self._archive(self._stream)
        if missing := sorted(set(self._wanted) - self._archive.databases()):
            raise DumpError(f"mongodump found nothing in '{missing[0]}'", hint="look whether it was dropped meanwhile")
        if OPLOG not in self._archive.collections:
            raise DumpError("mongodump recorded no operations", hint="use MongoDB's own tools, of a version from 100.0")

    def contents(self) -> Contents:
        """What is there once the recorded operations are replayed; what they touch is an estimate."""
        return self._archive.replayed().model_copy(update={"notes": notes(self._archive)})

    def databases(self) -> dict[str, Contents]:
        """The collections of each and their documents, as counted in the archive."""
        names = sorted(self._archive.databases() - SYSTEM)
        return {name: self._archive.contents(name).model_copy(update={"notes": (ALONE,)}) for name in names}


def notes(archive: Archive) -> tuple[str, ...]:
    """What a person should know about an archive of everything."""
    return (POINT_IN_TIME,) if USERS in archive.collections else (POINT_IN_TIME, NO_USERS)


def oplog_can_be_read(config: MongoDBConfig) -> bool:
    """Whether this is a member of a replica set whose record of operations this user may read."""
    with connected(config) as session:
        said = session.admin.command("hello")
        if "setName" not in said:  # a server by itself, or a router of a sharded cluster
            return False
        try:
            session.local["oplog.rs"].find_one({}, {"ts": True})
        except OperationFailure as refused:
            if refused.code not in NOT_ALLOWED:
                raise
            log.warning(
                "the databases are dumped one by one, not point in time: the user may not read the oplog",
                hint="grant the user the role backup",
            )
            return False
    return True
