"""SQLite files: how they are opened, proven and counted, and what their errors mean.

A database file is touched through SQLite only. Opening and closing it as a plain file would drop the locks that
another connection of this process holds on it, which POSIX ties to the process and not to the descriptor.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TypeVar
from urllib.parse import quote

from core.errors import ConnectionError, DBackupError
from core.manifest import Contents

T = TypeVar("T")

LEFTOVERS = ("-wal", "-journal", "-shm")  # beside a database: they belong to it, and to no other
READ = "mode=ro"
READ_SETTLED = "mode=ro&immutable=1"  # nobody writes it: no lock is taken and no file made beside it
WRITE = "mode=rw"
PATIENCE = 30.0  # seconds to wait for a source that somebody has locked
_LOOK_SECONDS = 0.01  # short: a busy writer leaves gaps of milliseconds
_INSTRUCTIONS = 100_000  # of SQLite's machine, between two looks whether the work is still wanted
_PRIMARY = 0xFF  # the low byte of an extended result code
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def connect(path: Path, access: str, *, patience: float = 0.0) -> sqlite3.Connection:
    """A connection without implicit transactions, which waits for a lock ``patience`` seconds.

    The path may hold any byte: it is quoted for SQLite's URI.
    """
    return sqlite3.connect(
        f"file://{quote(os.fsencode(path))}?{access}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )


def connect_source(path: Path) -> sqlite3.Connection:
    """A connection that can read and change nothing. Raises ConnectionError when there is no database to read."""
    with translated(path, ConnectionError):
        _require_file(path)
        connection = connect(path, READ_SETTLED if _is_settled(path) else READ)
        try:
            _wait_for_lock(connection)
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        except BaseException:
            connection.close()
            raise
    return connection


def _wait_for_lock(connection: sqlite3.Connection) -> None:
    """Read the schema as soon as nobody has locked it. SQLite itself would wait deaf to a signal to end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _require_file(path: Path) -> None:
    if not os.path.lexists(path):
        raise ConnectionError(
            f"there is no file {path}", hint="look at the path, and who may enter its folders", permanent=True
        )
    if not path.is_file():
        raise ConnectionError(f"{path} is not a file", hint="name the database file itself", permanent=True)
    if not path.stat().st_size:
        raise ConnectionError(
            f"{path} is empty: no database was ever written to it", hint="look at the path", permanent=True
        )


def _is_settled(path: Path) -> bool:
    """Whether the file lies on a read-only file system with nothing left to replay, as in a snapshot."""
    pending = any(_size(leftover(path, suffix)) for suffix in ("-wal", "-journal"))
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not pending


def leftover(path: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside a database under this suffix."""
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a journal comes and goes with each transaction of others
        return 0


def size_of(connection: sqlite3.Connection) -> int:
    """The database's size in bytes, as this connection's snapshot sees it, the WAL included."""
    pages, page_size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page_size)


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """The tables that hold rows of their own.

    A virtual table has no root page; what it keeps lies in ordinary tables beside it, which are here.
    """
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name"
    return [name for (name,) in connection.execute(query) if not name.startswith("sqlite_")]


def counted(connection: sqlite3.Connection) -> Contents:
    """Every row of every table, counted."""
    tables = tables_of(connection)
    return Contents(tables=len(tables), rows={table: _rows(connection, table) for table in tables})


def _rows(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608


def proven(path: Path, failure: type[DBackupError]) -> tuple[Contents, int]:
    """What a finished file holds, and its size in bytes. Raises ``failure`` unless every page of it is sound."""
    return interruptible(lambda watch: _proven(path, failure, watch))


def _proven(path: Path, failure: type[DBackupError], watch: Watch) -> tuple[Contents, int]:
    with translated(path, failure), closing(connect(path, READ_SETTLED)) as connection:
        watch.over(connection)
        connection.execute("PRAGMA temp_store = MEMORY")  # no page of it reaches a folder of temporary files
        _require_sound(connection, failure)
        return counted(connection), _whole_size(connection, path, failure)


def _require_sound(connection: sqlite3.Connection, failure: type[DBackupError]) -> None:
    complaints = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if complaints != ["ok"]:
        raise failure(
            f"the database is damaged: {'; '.join(complaints)}",
            hint="recover it with the sqlite3 program (.recover), or restore an earlier backup",
        )


def _whole_size(connection: sqlite3.Connection, path: Path, failure: type[DBackupError]) -> int:
    size, pages = path.stat().st_size, size_of(connection)
    if size != pages or not size:
        raise failure(f"the file has {size:,} bytes, and its pages {pages:,}", hint="look at the disk, and try again")
    return size


class Watch:
    """Ends the queries of a connection from another thread."""

    def __init__(self) -> None:
        self._ended = Event()
        self._connection: sqlite3.Connection | None = None

    def over(self, connection: sqlite3.Connection) -> None:
        """Watch over this connection from now on."""
        self._connection = connection
        connection.set_progress_handler(self._ended.is_set, _INSTRUCTIONS)

    def end(self) -> None:
        """End the query that is running, and every later one."""
        self._ended.set()
        if self._connection is not None:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                self._connection.interrupt()


def interruptible(work: Callable[[Watch], T]) -> T:
    """Do a long piece of work beside this thread, so that a signal is heard here at once and ends it there.

    The work opens and closes its own connection. A signal may take this thread away while the other still runs, and
    a connection that is closed under a running query brings the whole process down.
    """
    watch = Watch()
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(work, watch).result()
        except BaseException:
            watch.end()
            raise


@contextmanager
def translated(path: Path, failure: type[DBackupError]) -> Iterator[None]:
    """Turn what SQLite and the system raise into ``failure``, said to people."""
    try:
        yield
    except sqlite3.Error as error:
        message, hint = _explained(error, path)
        raise failure(message, hint=hint, permanent=not is_busy(error)) from error
    except OSError as error:
        raise failure(f"{path}: {error.strerror}", hint="look at the rights to the file", permanent=True) from error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds a lock, so that trying again can help."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk had no room."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file is no sound database."""
    return _code(error) in _DAMAGED


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY  # errors of the module have none


def _explained(error: sqlite3.Error, path: Path) -> tuple[str, str]:
    if is_busy(error):
        return f"{path} is locked by another process", "try again when its application is less busy"
    match _code(error):
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is no SQLite database, or an encrypted one", "look at the path"
        case sqlite3.SQLITE_CORRUPT:
            return f"{path} is damaged: {error}", "recover it with the sqlite3 program (.recover)"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return (
                f"{path} cannot be opened: {error}",
                f"let the user with the id {os.geteuid()} read it, and write in its folder when it is in WAL mode; "
                "after a crash, open it once with its application",
            )
        case _:
            return f"{path}: {error}", "open it with the sqlite3 program to learn more"
