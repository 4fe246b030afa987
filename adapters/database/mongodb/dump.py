"""One database on its way out: mongodump's archive, proven whole by its own framing, its documents counted in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from adapters.database.mongodb import client as tools
from adapters.database.mongodb.archive import VIEW, Archive
from adapters.database.mongodb.client import Client
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mongodb.session import Client as Session
from adapters.database.mongodb.session import connected, database_names
from core.errors import AdapterError, ConfigurationError, DumpError
from core.manifest import Contents
from core.ports import DumpOptions, Host
from core.streams import Chunk

NOT_POINT_IN_TIME = "not point in time: each collection is as it was when mongodump read it"
PARTIAL = "filters of the job left a part of the database out"


class MongoDBDump:
    """One database as an archive. Enter it, draw its chunks once, ask for its contents, leave it."""

    dump_format = "archive"
    extension = "archive"

    def __init__(self, config: MongoDBConfig, host: Host, client: Client, database: str, options: DumpOptions) -> None:
        self._config, self._host, self._client = config, host, client
        self._database, self._options = database, options
        self._archive = Archive(DumpError, "look into the server's log, then try again")
        self._held = ExitStack()

    def __enter__(self) -> MongoDBDump:
        with connected(self._config) as session:
            require_database(session, self._config, self._database)
            excluded = left_out(session, self._database, self._options)
        self._notes = (NOT_POINT_IN_TIME, *([PARTIAL] if excluded else ()))
        with ExitStack() as opening:
            settings = opening.enter_context(tools.private_settings(self._config))
            command = tools.dump_command(self._client, settings, self._database, excluded)
            self._stream = opening.enter_context(self._host.stream(command))
            self._held = opening.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The archive. Raises DumpError after the last chunk unless mongodump ended well and every collection did."""
        yield from self._archive(self._stream)
        if not self._archive.collections:
            raise DumpError(
                f"mongodump found nothing in '{self._database}'", hint="look whether it was dropped meanwhile"
            )

    def contents(self) -> Contents:
        """The collections and their documents, as counted in the archive."""
        return self._archive.contents(self._database).model_copy(update={"notes": self._notes})


def require_database(session: Session, config: MongoDBConfig, database: str) -> None:
    """Raise AdapterError when the server has no such database: mongodump would call that a success."""
    if session[database].list_collection_names():
        return  # asked of the database itself: who may read it need not be allowed to list all of them
    names = ", ".join(database_names(session)) or "none"
    raise AdapterError(f"{config.address} has no database named '{database}'", hint=f"there are: {names}")


def left_out(session: Session, database: str, options: DumpOptions) -> list[str]:
    """The collections and views that the filters exclude. Raises ConfigurationError or AdapterError."""
    if options.schemas or options.exclude_schemas:
        raise ConfigurationError(
            "MongoDB has no schemas to choose from", hint="remove the filters for schemas, or filter collections"
        )
    if not options.tables and not options.exclude_tables:
        return []
    listed = {one["name"]: one["type"] for one in session[database].list_collections()}
    # What lies below a time series or a view goes where that goes, and not by a name of its own.
    present = {name: kind for name, kind in listed.items() if not name.startswith("system.")}
    if missing := sorted(set(options.tables) - set(present)):
        raise AdapterError(
            f"'{database}' has no collection named '{missing[0]}'", hint="check the names in the job's filter"
        )
    excluded = set(options.exclude_tables) & set(present)
    if options.tables:
        excluded |= set(present) - set(options.tables)
    kept = [name for name, kind in present.items() if name not in excluded and kind != VIEW]
    if not kept:
        raise ConfigurationError(f"the filters leave no collection of '{database}'", hint="check the job's filters")
    return sorted(excluded)
