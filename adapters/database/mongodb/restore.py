"""A database on its way back.

MongoDB cannot rename a database. So one that does not exist yet is loaded under its own name and dropped again if
anything fails. To replace one, the new one is loaded and proven beside it; then the old one is copied aside and
compared, and only after that the new one is copied into its place. Whatever fails on the way, the old one is brought
back from its copy; a run that is killed in between leaves that copy on the server, whole.

Copies are made by the tools: unlike ``renameCollection`` they carry views, time series and everything else.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from itertools import chain

from adapters.database.mongodb import client as tools
from adapters.database.mongodb.archive import BUCKETS, TIMESERIES, VIEW, Archive
from adapters.database.mongodb.client import Client
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mongodb.session import connected, database_names
from adapters.database.mongodb.unfinished import Presence, mark_of
from core.errors import ComparisonFailed, DBackupError, RestoreError, TargetExists
from core.log import logger
from core.manifest import Contents
from core.ports import Host, RestoreTarget
from core.streams import Chunk, Chunks
from core.unfinished import BUILT, REPLACED, Mark

log = logger(engine="mongodb")

NAME_BYTES = 63
FORBIDDEN = '/\\. "$\0'
HINT = "verify the backup"
PAUSE = 0.2  # seconds between looks for an unfinished database that was dropped
QUIET_LOOKS, LOOKS = 3, 100  # so many without it are enough, and so many are all


class MongoDBRestoration:
    """One restore. Leaving it unpublished drops what it made."""

    def __init__(self, config: MongoDBConfig, host: Host, client: Client, target: RestoreTarget) -> None:
        self._config, self._host, self._client, self._target = config, host, client, target
        self._name = target.database
        self._made = False
        self._presence: Presence | None = None

    def __enter__(self) -> MongoDBRestoration:
        if exists(self._config, self._target.database):
            if not self._target.overwrite:
                raise target_exists(self._target.database)
            self._name = beside(self._target.database, BUILT)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._presence is not None:
            self._presence.close()
        if not self._made:
            return
        try:
            drop_for_good(self._config, {self._name})
        except DBackupError as leftover:
            failure = next((one for one in exc if isinstance(one, BaseException)), None)
            if failure is None:
                raise
            failure.add_note(f"The unfinished database '{self._name}' could not be dropped: {leftover}")

    def load(self, chunks: Chunks) -> None:
        """Load the archive. Raises RestoreError, or whatever the chunks raise; nothing is in the target's place."""
        archive = Archive(RestoreError, HINT)
        rest = archive(chunks)
        begun = head(archive, rest)
        dumped = self._dumped(archive.databases())
        if exists(self._config, self._name):
            raise target_exists(self._name)
        self._made = True
        self._presence = self._mark(self._name)
        self._feed(dumped, self._name, chain(begun, rest))

    def contents(self, expected: Contents | None) -> Contents:
        """Every collection that was loaded, its documents counted exactly."""
        return counted(self._config, self._name, self._presence.collection if self._presence else "")

    def publish(self) -> str:
        """Put the new database in the target's place, if it is not there already. Raises RestoreError.

        After a failure the old database is as it was, or, if it could not be brought back, lies whole under the name
        that the error tells.
        """
        name = self._target.database
        copies: list[str] = []
        if self._name != name:
            copies = [self._replace(name), self._name]
        elif self._presence is not None:
            self._presence.remove()
        self._made = False
        kept = [f"'{one}'" for one in copies if not self._dropped(one)]
        leftovers = f"; what could not be dropped: {', '.join(kept)}" if kept else ""
        return f"database '{name}' on {self._config.address}{leftovers}"

    def _dumped(self, databases: set[str]) -> str:
        """What the database is called in the archive."""
        if self._target.dumped:
            databases &= {self._target.dumped}
        if len(databases) != 1:
            wanted = f"'{self._target.dumped}'" if self._target.dumped else "one"
            raise RestoreError(f"the archive holds {len(databases)} databases instead of {wanted}", hint=HINT)
        return databases.pop()

    def _replace(self, name: str) -> str:
        """Copy the old one aside and the new one into its place; give the name of the old one's copy."""
        away = beside(name, REPLACED)
        with ExitStack() as undoing:
            undoing.callback(self._dropped, away)
            presence = self._mark(away, needless=True)
            undoing.callback(presence.close)
            self._copy(name, away)
            presence.say(needless=False)
            undoing.pop_all()
        with closing(presence):
            try:
                self._drop(name)
                self._copy(self._name, name)
                presence.say(needless=True)
            except BaseException as failure:
                self._bring_back(away, name, failure)
                raise
        return away

    def _mark(self, name: str, *, needless: bool = False) -> Presence:
        presence = Presence(self._config, Mark.now(name, self._target.database, self._target.run), needless=needless)
        presence.begin()
        return presence

    def _dropped(self, name: str) -> bool:
        """Drop what is not needed any more, if that can be done."""
        try:
            self._drop(name)
        except DBackupError as failure:
            log.warning("a database could not be dropped", database=name, reason=failure.message)
            return False
        return True

    def _bring_back(self, away: str, name: str, failure: BaseException) -> None:
        try:
            self._drop(name)
            self._copy(away, name)
        except DBackupError as second:
            raise RestoreError(
                f"'{name}' could not be replaced ({failure}), and not be brought back: {second.message}",
                hint=f"the old database is complete under the name '{away}'; copy it back with MongoDB's tools",
            ) from None
        self._dropped(away)

    def _copy(self, source: str, name: str) -> None:
        """Copy a database on the server and compare every count. Raises DumpError or RestoreError."""
        archive = Archive(RestoreError, "look into the server's log, then try again")
        with tools.private_settings(self._config) as settings:
            command = tools.dump_command(self._client, settings, source, [mark] if (mark := mark_of(source)) else [])
            with self._host.stream(command) as chunks:
                self._feed(source, name, archive(chunks))
        if (sent := archive.contents(source)) != (found := counted(self._config, name, mark_of(name))):
            raise ComparisonFailed(
                f"'{name}' holds {sum(found.rows.values()):,} documents instead of {sum(sent.rows.values()):,}",
                hint="nothing is lost; look into the server's log, then try again",
            )

    def _feed(self, dumped: str, name: str, chunks: Chunks) -> None:
        with tools.private_settings(self._config) as settings:
            self._host.feed(tools.restore_command(self._client, settings, dumped, name), chunks)

    def _drop(self, name: str) -> None:
        with connected(self._config, RestoreError) as session:
            session.drop_database(name)


def drop_for_good(config: MongoDBConfig, names: Collection[str]) -> None:
    """Drop databases that a tool was loading. Raises RestoreError, or ConnectionError.

    A server may still be at an insert of a tool that has ended, which makes a database anew that was dropped meanwhile.
    So they must have stayed away for a while; if they never do, the last look says so by an error.
    """
    quiet = 0
    with connected(config, RestoreError) as session:
        for _ in range(LOOKS):
            back = set(database_names(session)) & set(names)
            for name in back:
                session.drop_database(name)
            quiet = 0 if back else quiet + 1
            if quiet == QUIET_LOOKS:
                return
            time.sleep(PAUSE)
    raise RestoreError(
        f"{', '.join(sorted(names))}: something writes there again and again", hint="drop what is left by hand"
    )


def exists(config: MongoDBConfig, name: str) -> bool:
    """Whether the server has this database. Raises RestoreError for one that differs only in its letters' case."""
    with connected(config, RestoreError) as session:
        names = session.list_database_names()
    if name not in names and (other := next((one for one in names if one.lower() == name.lower()), None)):
        raise RestoreError(
            f"there is a database '{other}', and MongoDB has no second one that differs only in the case of letters",
            hint=f"give --as {other} to mean that one, or --as NEWNAME",
        )
    return name in names


def target_exists(name: str) -> TargetExists:
    """The refusal to restore over a database unasked."""
    return TargetExists(
        f"a database named '{name}' exists already",
        hint="give --overwrite to replace it, or --as NEWNAME to restore beside it",
    )


def beside(name: str, mark: str) -> str:
    """A free name beside ``name`` that says whose it is, cut so that the server takes it."""
    ending = f"__{mark}_{secrets.token_hex(4)}"
    return name.encode()[: NAME_BYTES - len(ending)].decode(errors="ignore") + ending


def counted(config: MongoDBConfig, name: str, mark: str = "") -> Contents:
    """The collections of a database but its mark, and the documents of each, counted one by one."""
    with connected(config, RestoreError) as session:
        database = session[name]
        kinds = {one["name"]: one["type"] for one in database.list_collections() if one["name"] != mark}
        return Contents(
            tables=len([one for one in kinds if not one.startswith("system.")]),
            rows={one: database[one].count_documents({}) for one in _with_documents(kinds)},
        )


def _with_documents(kinds: dict[str, str]) -> Iterator[str]:
    """The collections that an archive has documents of: no views, and of a time series what lies below it."""
    for name, kind in kinds.items():
        hidden = kind == VIEW or name == "system.views" or (kind == TIMESERIES and BUCKETS + name in kinds)
        if not hidden:
            yield name


def head(archive: Archive, chunks: Iterator[Chunk]) -> list[bytes]:
    """The first chunks, until the archive has said what it holds."""
    begun: list[bytes] = []
    while not archive.described and (chunk := next(chunks, None)) is not None:
        begun.append(bytes(chunk))
    return begun
