"""SQLite: one file is one database, named by the file's name without its suffix.

The dump is SQLite's own online backup into a private file, proven by ``integrity_check``, counted, and streamed.
The copy is taken within one read transaction. Copying step by step without one would begin again whenever
somebody writes, and never end on a busy database. So in WAL mode writers are not held up, and with a rollback
journal they wait while the copy is made.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, field_validator

from adapters import folders
from adapters.database import sqlite_files as files
from adapters.database.sqlite_restore import SQLiteRestoration, check_target, drop_unfinished, unfinished
from adapters.database.tools import Tool
from adapters.file_urls import path_of
from core.errors import AdapterError, ConfigurationError, DumpError, StorageFull
from core.manifest import Contents
from core.ports import DatabaseInfo, DumpOptions, RestoreTarget, ServerInfo
from core.streams import CHUNK_SIZE, Chunk
from core.unfinished import UnfinishedDatabase

PAGES_A_STEP = 4096  # after each step a signal is heard
TOOL = f"sqlite3 backup API {sqlite3.sqlite_version}"


class SQLiteConfig(BaseModel):
    """Which file. A relative path is made absolute when the configuration is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()

    @classmethod
    def from_url(cls, url: str) -> SQLiteConfig:
        """From ``sqlite:///absolute/path.db`` or ``sqlite:///./relative.db``. Raises ConfigurationError."""
        return cls(path=path_of(url, "sqlite"))


class SQLite:
    """One SQLite file. ``scratch`` is a private folder for the copy, where a dump's options name none.

    Without either, a new one is made for each dump.
    """

    engine: ClassVar[str] = "sqlite"
    label: ClassVar[str] = "SQLite"
    schemes: ClassVar[tuple[str, ...]] = ("sqlite",)
    extension: ClassVar[str] = "db"
    config_type: ClassVar[type[SQLiteConfig]] = SQLiteConfig

    def __init__(self, config: SQLiteConfig, *, scratch: Path | None = None) -> None:
        self._path = config.path
        self._scratch = scratch

    @classmethod
    def tools(cls) -> list[Tool]:
        """SQLite is part of Python; there is nothing to install."""
        return [Tool(found=True, fact=TOOL)]

    def describe(self) -> str:
        """The file's path."""
        return str(self._path)

    def probe(self) -> ServerInfo:
        """Open the file and read its schema. Raises ConnectionError."""
        files.connect_source(self._path).close()
        return ServerInfo(self.engine, sqlite3.sqlite_version, TOOL)

    def databases(self) -> list[DatabaseInfo]:
        """The one there is. Raises ConnectionError."""
        with closing(files.connect_source(self._path)) as source, files.translated(self._path, AdapterError):
            return [DatabaseInfo(self._path.stem, files.size_of(source), len(files.tables_of(source)))]

    def default_database(self) -> str:
        """The file's name without its suffix."""
        return self._path.stem

    def target_name(self, database: str | None) -> str:
        """The path of a file beside the configured one, or that one. Raises ConfigurationError for a path."""
        if database is None:
            return str(self._path)
        if "/" in database or database in ("", ".", ".."):
            raise ConfigurationError(
                f"{database!r} cannot be the name of a file", hint="give the path in the target: sqlite:///path/to.db"
            )
        return str(self._path.with_name(database if Path(database).suffix else database + self._path.suffix))

    def dump(self, database: str, options: DumpOptions) -> SQLiteDump:
        """Dump the file. Raises AdapterError on entering when it is not there or has another name."""
        if options.schemas or options.exclude_schemas or options.tables or options.exclude_tables:
            raise ConfigurationError(
                "a SQLite backup is a copy of the whole file, without a choice of schemas or tables",
                hint="remove the filters from the job",
            )
        return SQLiteDump(self._path, database, options.scratch or self._scratch)

    def dump_globals(self) -> None:
        """None: nothing lies outside the file."""

    def check_restore(self, target: RestoreTarget) -> None:
        """Raise TargetExists or RestoreError for what can be known beforehand."""
        check_target(target)

    def restore(self, target: RestoreTarget) -> SQLiteRestoration:
        """Open a restoration beside the file that the target names."""
        return SQLiteRestoration(target)

    def unfinished(self) -> list[UnfinishedDatabase]:
        """What restores into the folder of this file have begun. Raises AdapterError."""
        return unfinished(self._path.parent)

    def drop_unfinished(self, name: str) -> None:
        """Remove one of them, by its path. Raises AdapterError for one that must stay."""
        drop_unfinished(Path(name))


class SQLiteDump:
    """The file's copy on its way out. The snapshot is that of the moment of entering."""

    dump_format = "sqlite"
    extension = "db"

    def __init__(self, path: Path, database: str, scratch: Path | None) -> None:
        self._path, self._database, self._scratch = path, database, scratch
        self._held = ExitStack()
        self._contents: Contents | None = None

    def __enter__(self) -> SQLiteDump:
        if self._database != self._path.stem:
            raise AdapterError(
                f"{self._path} holds no database named '{self._database}'", hint=f"its name is '{self._path.stem}'"
            )
        with ExitStack() as held:
            self._source = held.enter_context(closing(_snapshot(self._path)))
            self._folder = held.enter_context(_private_folder(self._scratch))
            _require_room(self._folder, files.size_of(self._source), self._path)
            self._held = held.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def chunks(self) -> Iterator[Chunk]:
        """The proven copy's bytes in chunks of 1 MiB. Raises DumpError, or StorageFull where it has no room."""
        copy = self._folder / f"{secrets.token_hex(8)}.db"
        self._held.callback(copy.unlink, missing_ok=True)
        self._copy_to(copy)
        self._contents, size = files.proven(copy, DumpError)
        yield from _streamed(copy, size)

    def contents(self) -> Contents | None:
        """Every table's rows, counted in the copy."""
        return self._contents

    def _copy_to(self, copy: Path) -> None:
        with folders.folder(copy.parent) as folder:
            os.close(folders.new_file(folder, copy.name))
        try:
            with files.translated(self._path, DumpError), closing(files.connect(copy, files.WRITE)) as target:
                target.execute("PRAGMA journal_mode = OFF")
                target.execute("PRAGMA synchronous = OFF")
                self._source.backup(target, pages=PAGES_A_STEP, progress=_listen)
        except DumpError as failure:
            if isinstance(failure.__cause__, sqlite3.Error) and files.is_full(failure.__cause__):
                raise _no_room(copy.parent, files.size_of(self._source), self._path) from None
            raise
        finally:
            self._source.close()


def _listen(_status: int, _remaining: int, _total: int) -> None:
    """Between two steps Python runs, so that a signal's handler does."""


def _snapshot(path: Path) -> sqlite3.Connection:
    """A connection inside a read transaction: all it reads is the state of now. Raises ConnectionError."""
    source = files.connect_source(path)
    try:
        with files.translated(path, AdapterError):
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        source.close()
        raise
    return source


@contextmanager
def _private_folder(scratch: Path | None) -> Iterator[Path]:
    """The given folder, made if missing, or a new one that is removed in the end."""
    if scratch is None:
        with tempfile.TemporaryDirectory(prefix="dbackup-") as made:
            yield Path(made)
        return
    try:
        with folders.folder(scratch, create=True):
            pass
    except OSError as error:
        raise AdapterError(f"{scratch}: {error.strerror}", hint="the copy needs a folder to write to") from error
    yield scratch


def _require_room(folder: Path, need: int, path: Path) -> None:
    if folders.free_space(folder) < need:
        raise _no_room(folder, need, path)


def _no_room(folder: Path, need: int, path: Path) -> StorageFull:
    free = folders.free_space(folder)
    return StorageFull(
        f"the copy of {path} needs {need:,} bytes and {folder} has {free:,}: {max(need - free, 0):,} bytes are missing",
        hint="make room there, or let DBACKUP_SCRATCH name a folder on a larger disk",
    )


def _streamed(copy: Path, size: int) -> Iterator[Chunk]:
    """The file's bytes in one reused buffer; its name is gone before the first is given."""
    with copy.open("rb", buffering=0) as file:
        copy.unlink()
        buffer, sent = memoryview(bytearray(CHUNK_SIZE)), 0
        while count := file.readinto(buffer):
            sent += count
            yield buffer[:count]
    if sent != size:
        raise DumpError(f"the copy has {size:,} bytes, of which {sent:,} could be read", hint="look at the disk")
