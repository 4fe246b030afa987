"""Databases that a restore makes beside its target: their names, the mark that proves them ours, who may remove them.

A restore that is killed cannot tidy up behind itself. What it leaves may only be removed when it is certain what it is:
a name can be anybody's, so every such database also bears a mark, which repeats its name, for a copy of it is not it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import ClassVar, Protocol, runtime_checkable

BUILT, REPLACED = "dbackup", "old"  # what stands in the name of a database that is built, and of one that is replaced
NAME = re.compile(rf"__({BUILT}|{REPLACED})_([0-9a-f]{{8}})$")


@dataclass(frozen=True)
class Mark:
    """What a restore writes on a database that it makes: its name, its target's, when it began, and the run's id."""

    database: str
    target: str
    begun: datetime
    run: str = ""

    @classmethod
    def now(cls, database: str, target: str, run: str) -> Mark:
        """The mark of a database that is made now."""
        return cls(database, target, datetime.now(UTC).replace(microsecond=0), run)

    @classmethod
    def read(cls, text: str | None, database: str) -> Mark | None:
        """The mark that this text is, if it is one and this database's own."""
        try:
            fields = json.loads(text or "")["dbackup"]
            mark = cls(fields["database"], fields["target"], datetime.fromisoformat(fields["begun"]), fields["run"])
        except (ValueError, KeyError, TypeError):
            return None
        return mark if mark.database == database and mark.begun.tzinfo else None

    def __str__(self) -> str:
        return json.dumps({"dbackup": {**asdict(self), "begun": self.begun.isoformat()}})


@dataclass(frozen=True)
class UnfinishedDatabase:
    """A database that bears a restore's name or mark. ``size`` is in bytes, None where the engine cannot say.

    ``mark`` is None when nothing proves it ours. ``precious`` is why it must stay, and how to put it back.
    """

    name: str
    size: int | None
    mark: Mark | None
    in_use: bool = False
    precious: str = ""
    what: ClassVar[dict[str, str]] = {
        BUILT: "built by a restore that never finished",
        REPLACED: "replaced by a restore, and not dropped",
    }

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        if self.mark is None:
            return "named like what a restore makes"
        found = NAME.search(self.name)
        return self.what[found[1] if found else BUILT]

    @property
    def is_built(self) -> bool:
        """Whether it is a restore's own making, and no database of somebody's that was replaced."""
        found = NAME.search(self.name)
        return found is not None and found[1] == BUILT


@runtime_checkable
class LeavesUnfinished(Protocol):
    """An engine on which a restore that is killed leaves a database behind."""

    def unfinished(self) -> Sequence[UnfinishedDatabase]:
        """Databases that restores have made and that bear no target's name, of living restores too.

        Raises AdapterError or ConnectionError.
        """

    def drop_unfinished(self, name: str) -> None:
        """Drop one of them. Raises AdapterError for every other name, and for one that is in use or precious."""


def token_of(name: str) -> str:
    """The hexadecimal end of an unfinished database's name, or nothing."""
    found = NAME.search(name)
    return found[2] if found else ""
