"""The seams to the outside world. An adapter is a class that fits one of these; a fake passes the same contract.

All of it is synchronous. Adapters raise only :mod:`core.errors`, and never put a secret into one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from core.events import Event
from core.manifest import ALL_DATABASES, Contents
from core.notifications import Notification
from core.streams import Chunk, Chunks

# --- host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A program to run. The arguments are visible to every local user, so secrets go into ``env`` only."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class Host(Protocol):
    """Where the client tools run. Local today; SSH can join without touching an engine."""

    def which(self, program: str) -> str | None:
        """The path of an installed program, or None."""

    def output(self, command: Command, *, timeout: float = 30.0) -> str:
        """Run to the end and give standard output. Raises AdapterError with the last lines of standard error."""

    def stream(self, command: Command) -> AbstractContextManager[Iterator[Chunk]]:
        """Give standard output in chunks. Raises DumpError after the last chunk unless the exit code is 0.

        Leaving the context early ends the whole process group.
        """

    def feed(self, command: Command, chunks: Chunks) -> None:
        """Write the chunks to standard input. Raises RestoreError unless the exit code is 0."""

    def pipe(self, command: Command, chunks: Chunks) -> Generator[Chunk, None, None]:
        """Give what the program makes of the chunks. Raises RestoreError after the last unless the exit code is 0.

        The chunks are drawn in a thread of their own. Closing the result ends the whole process group.
        """


# --- databases --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerInfo:
    """What answered: the engine, the server's version and the dump tool that fits it, as in the manifest."""

    engine: str
    version: str
    tool: str


@dataclass(frozen=True)
class DatabaseInfo:
    """One database of a server; ``size`` in bytes and ``tables`` are None where the engine cannot say."""

    name: str
    size: int | None = None
    tables: int | None = None


@dataclass(frozen=True)
class DumpOptions:
    """What part of a database to dump. Empty filters mean everything.

    Tables with at most ``exact_rows`` estimated rows are counted exactly, larger ones are estimated. ``scratch`` is
    the run's private folder, for an engine that cannot do without a file.
    """

    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    exact_rows: int = 1_000_000
    scratch: Path | None = None

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters that are set, by name, each in order of the alphabet."""
        names = ("schemas", "exclude_schemas", "tables", "exclude_tables")
        return {name: tuple(sorted(set(getattr(self, name)))) for name in names if getattr(self, name)}


class Dump(Protocol):
    """One database on its way out. A context manager: leaving it ends the tool and every session it held."""

    dump_format: str  # as in the manifest: pg_custom, sql, archive, sqlite
    extension: str  # of the object's name: dump, sql, archive, db

    def __enter__(self) -> Dump: ...

    def __exit__(self, *exc: object) -> None: ...

    def chunks(self) -> Iterator[Chunk]:
        """The dump's bytes, once. Raises DumpError after the last chunk unless the dump is proven complete."""

    def contents(self) -> Contents | None:
        """What a restore must bring back, as seen by the dump's own snapshot. Holds after the last chunk."""


class InstanceDump(Dump, Protocol):
    """All databases on their way out as one object. Its ``contents`` are those of a restore of all of them together."""

    def databases(self) -> Mapping[str, Contents]:
        """What a restore of one of them alone must bring back, by name. Holds after the last chunk."""


@dataclass(frozen=True)
class RestoreTarget:
    """Where a restore goes: ``database`` by its true name (a path for SQLite).

    An object that holds several databases gives back the one that is called ``dumped`` in it; or all of ``together``,
    each under its own name, and then ``database`` is empty.
    """

    database: str
    overwrite: bool = False
    owner: bool = True  # False: objects belong to whoever restores, grants are left out
    dumped_by: str = ""  # the dump tool, as in the manifest, for example "pg_dump 15.20"
    expected: Contents | None = None
    dumped: str = ""
    together: tuple[str, ...] = ()
    run: str = ""  # the id of the run that restores, for what it makes to be known by

    @property
    def label(self) -> str:
        """What people call it."""
        return self.database or ALL_DATABASES


class Restoration(Protocol):
    """A database on its way back, built beside the target. Leaving the context unpublished removes it."""

    def __enter__(self) -> Restoration: ...

    def __exit__(self, *exc: object) -> None: ...

    def load(self, chunks: Chunks) -> None:
        """Load a dump. The first error of the tool or of the stream is fatal."""

    def contents(self, expected: Contents | None) -> Contents:
        """What has been loaded, counted exactly for every table that ``expected`` counts exactly."""

    def publish(self) -> str:
        """Put what was loaded in the target's place, in one step, and say where it is, in words."""


class DatabaseAdapter(Protocol):
    """A source of dumps and a target of restores."""

    engine: ClassVar[str]

    def describe(self) -> str:
        """What people call it, without user or password: ``shop on db.example:5432``, ``/srv/shop.db``."""

    def probe(self) -> ServerInfo:
        """Connect and say what answers. Raises ConnectionError or ToolMissing."""

    def databases(self) -> Sequence[DatabaseInfo]:
        """The databases a backup of everything takes: all of them but templates and the engine's own."""

    def default_database(self) -> str | None:
        """The one database the configuration names, or None when it names the whole server."""

    def target_name(self, database: str | None) -> str | None:
        """What a restore target is called: for a given database, or, for None, for what the configuration names.

        None when the configuration names the whole server. Raises ConfigurationError for an impossible name.
        """

    def dump(self, database: str, options: DumpOptions) -> Dump:
        """Dump one database. Raises on entering when it does not exist or may not be read."""

    def dump_globals(self) -> Dump | None:
        """Dump what belongs to the server and no database (roles, grants); None where there is no such thing."""

    def check_restore(self, target: RestoreTarget) -> None:
        """Raise whatever can be known to be wrong before a byte moves: TargetExists, missing roles, no room."""

    def restore(self, target: RestoreTarget) -> Restoration:
        """Open a restoration beside the target."""


@runtime_checkable
class DumpsInstance(Protocol):
    """An engine that dumps databases one after the other, but all of them at once as of one moment."""

    def dump_instance(self, databases: Sequence[str]) -> InstanceDump | None:
        """Dump all databases, at least these, into one object; None where this server or this user cannot.

        Raises what connecting raises.
        """


# --- storage ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredObject:
    """One object: its key below the destination's root, its size in bytes, its modification time in UTC."""

    key: str
    size: int
    modified: datetime


class StorageAdapter(Protocol):
    """A place for objects. Keys are relative, separated by ``/``. Nothing is ever overwritten."""

    kind: ClassVar[str]

    def describe(self) -> str:
        """What people call it, without any secret: ``/backups``."""

    def identity(self) -> str:
        """The same text for two adapters that write to one place, as far as can be known after :meth:`check`."""

    def check(self) -> None:
        """Prove that objects can be written, read and deleted. Raises StorageError or ConnectionError."""

    def free_space(self) -> int | None:
        """Bytes that can still be written, or None where nobody can say."""

    def put(self, key: str, chunks: Chunks) -> None:
        """Store an object whole or not at all. Raises ObjectExists when the key is taken."""

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        """The object's bytes from ``offset`` on, at most ``length`` of them. Raises ObjectNotFound."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every published object whose key starts with ``prefix``, in the order of keys. Never a part of a list."""

    def present(self, key: str) -> bool:
        """Whether anything has this key, or lies below it: an object, a folder, a link that a list leaves out.

        Raises StorageError or ConnectionError where nobody can say.
        """

    def delete(self, key: str) -> None:
        """Remove an object. Raises ObjectNotFound."""


@runtime_checkable
class Markable(Protocol):
    """A storage whose place may be missing without a sign, as a mount point without its disk."""

    def mark(self) -> None:
        """Make the place and mark it, once; a saved storage is used only where its mark is. Raises StorageError."""


@runtime_checkable
class KeepsParts(Protocol):
    """A storage in which an upload that was killed leaves something behind that no list shows."""

    def parts(self) -> Sequence[StoredObject]:
        """What unfinished uploads have written, of living ones too, and when each was last written to.

        Raises StorageError or ConnectionError.
        """

    def drop_part(self, key: str) -> None:
        """Remove one of them, if it is still there. Raises StorageError for every other name, or ConnectionError."""


class Rereadable(Protocol):
    """Bytes that can be drawn as often as needed, from any position on. They are the same each time."""

    def read(self, start: int = 0) -> Chunks:
        """The bytes from ``start`` on."""


@runtime_checkable
class ResumesUploads(Protocol):
    """A storage that can go on with an upload whose connection broke, within the life of one adapter."""

    def put_resumable(self, key: str, source: Rereadable) -> None:
        """Store an object whole or not at all, as ``put`` does.

        When the connection breaks, what has arrived is kept, hidden, and the next call with this key and the same
        bytes goes on behind it, as far as it is proven to be the source's. Every other error keeps nothing.
        """

    def forget_upload(self, key: str) -> None:
        """Remove what is kept of an upload that no call will continue, as far as the storage can be reached."""


@runtime_checkable
class AdoptsFiles(Protocol):
    """A storage on a local file system, which can publish a finished file without copying it."""

    def staging(self) -> Path:
        """A hidden folder on the storage's own file system, never listed, for files that may be adopted."""

    def adopt(self, key: str, path: Path) -> bool:
        """Publish the file under ``key`` by a link, durably. False when it lies on another file system."""


HASHED_BY_SERVER = "hashed by the server"  # what people call a proof by that


@runtime_checkable
class HashesRemotely(Protocol):
    """A storage whose server can hash an object where it lies, so that it need not be read back over the network."""

    def remote_sha256(self, key: str) -> str | None:
        """The SHA-256 of the stored bytes in hex, computed by the server now; None where it does not compute one."""


@runtime_checkable
class HashesArrivals(Protocol):
    """A storage whose server hashes what arrives, so that a new object need not be read back over the network."""

    hashed_on_arrival: ClassVar[str]  # what people call a proof by that

    def arrived_sha256(self, key: str) -> str | None:
        """The SHA-256 in hex of what this adapter has put and what lies there still; None where none is known."""


# --- notifications ----------------------------------------------------------------------------------------


class NotificationAdapter(Protocol):
    """A channel that messages go out by."""

    channel: ClassVar[str]
    usual_events: ClassVar[tuple[Event, ...]]  # what it tells when nobody has chosen

    def describe(self) -> str:
        """What people call it, without any secret: ``mail to ops@example.org by mail.example.org:587``."""

    def send(self, notification: Notification) -> None:
        """Deliver one message, trying once. Returning means that the other side has taken it.

        Raises NotificationError, RateLimited or ConnectionError; ``permanent`` says whether another try is pointless.
        """
