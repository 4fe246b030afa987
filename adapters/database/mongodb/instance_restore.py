"""All databases of an archive on their way back, together, into a deployment that has none.

The recorded operations are replayed at the end, under the names that they were recorded with. So nothing can be built
beside anything: the deployment must be empty, and what was loaded is dropped again when anything fails.
"""

from __future__ import annotations

from itertools import chain

from adapters.database.mongodb import client as tools
from adapters.database.mongodb.archive import OPLOG, Archive
from adapters.database.mongodb.client import Client
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mongodb.restore import HINT, counted, drop_for_good, head
from adapters.database.mongodb.session import connected, database_names
from core.errors import DBackupError, RestoreError, TargetExists
from core.manifest import Contents
from core.ports import Host
from core.streams import Chunks


class MongoDBInstanceRestoration:
    """One restore of everything. Leaving it unpublished drops what it made."""

    def __init__(self, config: MongoDBConfig, host: Host, client: Client) -> None:
        self._config, self._host, self._client = config, host, client
        self._archive = Archive(RestoreError, HINT)
        self._made = False

    def __enter__(self) -> MongoDBInstanceRestoration:
        require_empty(self._config)
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._made:
            return
        try:
            drop_for_good(self._config, self._ours())
        except DBackupError as leftover:
            failure = next((one for one in exc if isinstance(one, BaseException)), None)
            if failure is None:
                raise
            failure.add_note(f"What had been restored could not be dropped: {leftover}")

    def load(self, chunks: Chunks) -> None:
        """Load the archive and replay its operations. Raises RestoreError, or whatever the chunks raise."""
        rest = self._archive(chunks)
        begun = head(self._archive, rest)
        if OPLOG not in self._archive.collections:
            raise RestoreError("the archive holds no recorded operations", hint="restore one with --database NAME")
        require_empty(self._config)
        self._made = True
        with tools.private_settings(self._config) as settings:
            self._host.feed(tools.instance_restore_command(self._client, settings), chain(begun, rest))

    def contents(self, expected: Contents | None) -> Contents:
        """Every collection of every database, its documents counted exactly."""
        found = {name: counted(self._config, name) for name in self._names()}
        rows = {f"{name}.{table}": count for name, held in found.items() for table, count in held.rows.items()}
        return Contents(tables=sum(held.tables for held in found.values()), rows=rows)

    def publish(self) -> str:
        """Leave them where they are: they have been loaded under their own names."""
        names = [f"'{name}'" for name in self._names()]
        self._made = False
        return f"{', '.join(names)} on {self._config.address}"

    def _names(self) -> list[str]:
        """What has come back: somebody else's databases are none of ours."""
        with connected(self._config, RestoreError) as session:
            return [name for name in database_names(session) if name in self._ours()]

    def _ours(self) -> set[str]:
        return self._archive.databases() | self._archive.replay.databases()


def require_empty(config: MongoDBConfig) -> None:
    """Raise TargetExists when the deployment has a database beside its own."""
    with connected(config, RestoreError) as session:
        names = database_names(session)
    if names:
        raise TargetExists(
            f"{config.address} has databases already ({', '.join(names[:5])}{', …' if len(names) > 5 else ''}), "
            "and all databases of a backup come back together only into an empty deployment",
            hint="choose one with --database NAME: it comes back without what was written during the dump",
        )
