"""What the operations change that mongodump recorded while it ran, as far as a comparison must know it.

They can be repeated: what the dump saw of them already, it sees once. So how many documents a collection has after they
were replayed cannot be told from them; only that it may differ, and which collections there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.database.mongodb.session import SYSTEM
from core.manifest import Contents

VIEWS = "system.views"  # a document for each view
Name = tuple[str, str]  # of a database and a collection


class Replay:
    """The recorded operations, one after the other."""

    def __init__(self) -> None:
        self._touched: set[Name] = set()
        self._there: dict[Name, bool] = {}  # whether the last that was heard of a collection is that it exists
        self._dropped: set[str] = set()  # databases of which only what was heard of later is there

    def note(self, operation: Mapping[str, Any]) -> None:
        """Take the next one."""
        kind, description = operation.get("op"), operation.get("o")
        database, _, collection = str(operation.get("ns", "")).partition(".")
        if not isinstance(description, Mapping) or kind not in ("i", "d", "c"):
            return
        if kind == "c":
            self._command(database, description)
        elif collection == VIEWS:
            self._there[database, str(description.get("_id")).partition(".")[2]] = kind == "i"
        else:
            self._touched.add((database, collection))
            if kind == "i":
                self._there[database, collection] = True

    def databases(self) -> set[str]:
        """Those in which something was made."""
        return {database for (database, _), there in self._there.items() if there}

    def after(self, collections: Iterable[Name], rows: Mapping[Name, int]) -> Contents:
        """What is there afterwards, of what was dumped, by ``database.collection``; what was touched is an estimate."""
        kept = {name for name in collections if name[0] not in self._dropped}
        there = {name for name in kept | set(self._there) if self._there.get(name, True) and _is_public(name)}
        counted = {name: rows.get(name, 0) for name in set(rows) | self._touched if name in there}
        estimates = [name for name in sorted(counted) if name in self._touched or name[0] in self._dropped]
        return Contents(
            tables=len([collection for _, collection in there if not collection.startswith("system.")]),
            rows={".".join(name): count for name, count in sorted(counted.items())},
            estimated=tuple(map(".".join, estimates)),
        )

    def _command(self, database: str, command: Mapping[str, Any]) -> None:
        for operation in command.get("applyOps", ()):  # a transaction
            self.note(operation)
        if "create" in command:
            self._there[database, str(command["create"])] = True
        elif "drop" in command:
            self._there[database, str(command["drop"])] = False
            self._touched.add((database, str(command["drop"])))
        elif "dropDatabase" in command:
            self._dropped.add(database)
            self._there = {name: there for name, there in self._there.items() if name[0] != database}


def _is_public(name: Name) -> bool:
    database, collection = name
    return bool(database) and database not in SYSTEM and collection != VIEWS
