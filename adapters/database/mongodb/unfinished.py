"""Databases of restores that were killed. The mark is a collection in each, for a database of MongoDB's has no comment.

A restore writes into its mark every minute, for as long as it lives: what has been silent for a day is nobody's. What
is put aside holds the only copy until its mark says that the new database is complete. One that was loaded under its
own name bears the mark, too, until it is complete; nobody knows who has begun to use it since, so it is never dropped.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection

from adapters.database.beside import require_droppable
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mongodb.session import Client, connected, database_names
from core.errors import DBackupError, RestoreError
from core.log import logger
from core.unfinished import BUILT, NAME, Mark, UnfinishedDatabase, token_of

MARK = "dbackup_restore_"  # of the collection's name; eight hexadecimal digits follow
BEAT_SECONDS = 60.0
SILENCE = timedelta(days=1)
log = logger(engine="mongodb")


class Presence:
    """The mark of a database that is being made, and the sign that its restore lives. Closing it ends the sign.

    ``needless`` says whether the target is whole without this database.
    """

    def __init__(self, config: MongoDBConfig, mark: Mark, *, needless: bool) -> None:
        self._config, self._mark, self._needless = config, mark, needless
        self.collection = mark_of(mark.database) or MARK + secrets.token_hex(4)
        self._ended = threading.Event()

    def begin(self) -> None:
        """Mark the database, and go on saying that the restore lives. Raises RestoreError or ConnectionError."""
        self._write()
        threading.Thread(target=self._beat, name="presence", daemon=True).start()

    def say(self, *, needless: bool) -> None:
        """Write into the mark whether the target is whole without it. Raises RestoreError or ConnectionError."""
        self._needless = needless
        self._write()

    def close(self) -> None:
        """End the sign of life; the mark stays."""
        self._ended.set()

    def remove(self) -> None:
        """Take the mark away: the database is complete. Raises RestoreError or ConnectionError."""
        self.close()
        with connected(self._config, RestoreError) as session:
            session[self._mark.database].drop_collection(self.collection)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                with connected(self._config) as session:  # no upsert: what was dropped meanwhile is not made anew
                    self._of(session).update_one({"_id": 1}, {"$set": {"beat": datetime.now(UTC)}})
            except DBackupError as error:  # the next one is soon enough
                log.debug("missed a sign of life", reason=error.message)

    def _write(self) -> None:
        state = {"mark": str(self._mark), "beat": datetime.now(UTC), "needless": self._needless}
        with connected(self._config, RestoreError) as session:
            self._of(session).replace_one({"_id": 1}, state, upsert=True)

    def _of(self, session: Client) -> Collection[dict[str, Any]]:
        return session[self._mark.database][self.collection]


def mark_of(name: str) -> str:
    """What the mark of an unfinished database is called; nothing for every other database."""
    token = token_of(name)
    return MARK + token if token else ""


def unfinished(session: Client) -> Iterator[UnfinishedDatabase]:
    """What restores have made here, of living ones too."""
    sizes = {one["name"]: one.get("sizeOnDisk") for one in session.list_databases()}
    names = database_names(session)
    for name in names:
        state = _state(session, name)
        mark = Mark.read(str(state.get("mark")), name)
        if mark or NAME.search(name):
            yield UnfinishedDatabase(
                name, sizes.get(name), mark, _lives(state), _precious(name, mark, state, names) if mark else ""
            )


def drop(session: Client, name: str) -> None:
    """Drop one of them. Raises AdapterError for one that must stay."""
    require_droppable(name, unfinished(session))
    session.drop_database(name)


def _state(session: Client, name: str) -> dict[str, Any]:
    marks = [one for one in session[name].list_collection_names() if one.startswith(MARK)]
    return (session[name][marks[0]].find_one({"_id": 1}) or {}) if len(marks) == 1 else {}


def _lives(state: dict[str, Any]) -> bool:
    beat = state.get("beat")
    return isinstance(beat, datetime) and datetime.now(UTC) - beat.replace(tzinfo=UTC) < SILENCE


def _precious(name: str, mark: Mark, state: dict[str, Any], names: list[str]) -> str:
    found = NAME.search(name)
    if not found:
        return "a restore has loaded a part of it; if it was killed, restore again with --overwrite, or drop it by hand"
    if found[1] == BUILT or (state.get("needless") and mark.target in names):
        return ""
    return (
        f"it may be the only copy of what '{mark.target}' was; to put it back, see the page about MongoDB: "
        "When a swap was cut"
    )
