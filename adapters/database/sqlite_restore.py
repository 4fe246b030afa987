"""A SQLite file on its way back: written beside the target under a hidden name, proven, then renamed.

What a crash of the old database left beside it (``-wal``, ``-journal``) must never be replayed into the new one.
So before the new file takes the name, the old one is locked for good, everything committed is brought into its
main file, and the files beside it are removed durably. Until the rename the old database is whole.

The new file is locked for as long as its restore lives; one that nobody locks was left by a restore that was killed,
and is removed by the next one of the same target.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from adapters import folders
from adapters.database import sqlite_files as files
from adapters.database.beside import in_use, require_droppable
from core.errors import AdapterError, RestoreError, TargetExists
from core.manifest import Contents
from core.ports import RestoreTarget
from core.streams import Chunks
from core.unfinished import Mark, UnfinishedDatabase

NEW = re.compile(r"\.(.+)\.dbackup-[0-9a-f]{8}")  # of a new file, hidden beside its target
HEADER = b"SQLite format 3\0"
PATIENCE = 3.0  # seconds until the old database counts as in use


def path_of_target(target: RestoreTarget) -> Path:
    """The file to make. A symbolic link stays, and what it names is replaced."""
    return Path(os.path.realpath(target.database))


def check_target(target: RestoreTarget) -> None:
    """Raise TargetExists, or RestoreError when no file can be made there."""
    path = path_of_target(target)
    if path.is_dir() or not path.name:
        raise RestoreError(f"{path} is a folder", hint="name the file to make")
    if not path.parent.is_dir():
        raise RestoreError(f"the folder {path.parent} does not exist", hint="make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RestoreError(
            f"{path.parent} cannot be written", hint=f"let the user with the id {os.geteuid()} write in it"
        )
    if not target.overwrite:
        _require_free(path)


def _require_free(path: Path) -> None:
    """A leftover alone is a refusal too: it would be replayed into the new file."""
    for taken in (path, *(files.leftover(path, suffix) for suffix in files.LEFTOVERS)):
        if os.path.lexists(taken):
            raise TargetExists(f"{taken} exists already", hint="give --overwrite to replace it, or name another file")


class SQLiteRestoration:
    """One restore. Leaving it unpublished removes the new file and leaves the old one as it was."""

    def __init__(self, target: RestoreTarget) -> None:
        self._target = target
        self._path = path_of_target(target)
        self._new = self._path.with_name(f".{self._path.name}.dbackup-{secrets.token_hex(4)}")
        self._descriptor: int | None = None  # of the new file, kept for its lock
        self._contents: Contents | None = None

    def __enter__(self) -> SQLiteRestoration:
        check_target(self._target)
        with _disk(self._path, 0):
            _remove_abandoned(self._path)
        return self

    def __exit__(self, *exc: object) -> None:
        self._new.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def load(self, chunks: Chunks) -> None:
        """Write the new file and prove it. Raises RestoreError; what the chunks raise is passed on."""
        with _disk(self._path, 0), folders.folder(self._path.parent) as folder:
            descriptor = self._descriptor = folders.new_file(folder, self._new.name)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        written = 0
        for chunk in chunks:
            with _disk(self._path, written):
                folders.write_all(descriptor, chunk)
            written += len(chunk)
        with _disk(self._path, written):
            os.fsync(descriptor)
        self._contents, _ = files.proven(self._new, RestoreError)

    def contents(self, expected: Contents | None) -> Contents:
        """Every table's rows, counted. Raises RestoreError when nothing has been loaded."""
        if self._contents is None:
            raise RestoreError("nothing has been loaded", hint="load a dump first")
        return self._contents

    def publish(self) -> str:
        """Give the new file its name. Raises TargetExists, or RestoreError while the old database is in use."""
        self.contents(None)
        with _disk(self._path, 0), folders.folder(self._path.parent) as folder:
            if self._target.overwrite and self._path.exists():
                with exclusively(self._path):
                    self._replace(folder)
            else:
                self._place(folder)
            folders.sync_folder(folder)
        return f"SQLite file {self._path}"

    def _place(self, folder: int) -> None:
        if not self._target.overwrite:
            _require_free(self._path)
        self._remove_leftovers(folder)
        folders.move_new(folder, self._new.name, folder, self._path.name)

    def _replace(self, folder: int) -> None:
        old = self._path.stat()
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(self._new, old.st_uid, old.st_gid)
        self._new.chmod(stat.S_IMODE(old.st_mode))
        self._remove_leftovers(folder)
        self._new.replace(self._path)

    def _remove_leftovers(self, folder: int) -> None:
        for suffix in files.LEFTOVERS:
            files.leftover(self._path, suffix).unlink(missing_ok=True)
        folders.sync_folder(folder)  # before the rename: a crash between them must not bring them back


def _remove_abandoned(path: Path) -> None:
    """Remove the new files of restores into this target that were killed."""
    ours = re.compile(re.escape(f".{path.name}.dbackup-") + "[0-9a-f]{8}")
    for left in path.parent.iterdir():
        if ours.fullmatch(left.name) and left.is_file() and not left.is_symlink():
            with suppress(OSError):  # a restore that lives holds it, or it is not ours to remove
                _remove_unlocked(left)


def unfinished(folder: Path) -> list[UnfinishedDatabase]:
    """The new files of restores into a folder. The mark is the hidden name, the owner, and how the file begins.

    Raises AdapterError.
    """
    try:
        found = [(path, NEW.fullmatch(path.name)) for path in sorted(folder.iterdir())]
        return [one for path, name in found if name and (one := _unfinished(path, name[1]))]
    except OSError as error:
        raise AdapterError(f"{folder}: {error.strerror}", hint="look at the rights to the folder") from None


def drop_unfinished(path: Path) -> None:
    """Remove one of them. Raises AdapterError for every other file, and for one whose restore lives."""
    require_droppable(str(path), unfinished(path.parent))
    try:
        _remove_unlocked(path)
    except BlockingIOError:
        raise in_use(str(path)) from None
    except OSError as error:
        raise AdapterError(f"{path}: {error.strerror}", hint="look at the rights to the folder") from None


def _unfinished(path: Path, target: str) -> UnfinishedDatabase | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        ours = found.st_uid == os.geteuid() and HEADER.startswith(os.read(descriptor, len(HEADER)))
        written = datetime.fromtimestamp(int(found.st_mtime), UTC)
        mark = Mark(str(path), str(path.with_name(target)), written) if ours else None
        return UnfinishedDatabase(str(path), found.st_size, mark, _is_locked(descriptor))
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the old database so that nobody can use it, with everything committed in its main file.

    A file that is no sound database cannot be held; replacing it is what restoring is for.
    """
    with closing(files.connect(path, files.WRITE, patience=PATIENCE)) as old:
        try:
            _lock(old)
        except sqlite3.Error as error:
            if not files.is_damaged(error):
                raise _in_use(path, error) from error
        yield


def _lock(old: sqlite3.Connection) -> None:
    old.execute("PRAGMA locking_mode = EXCLUSIVE")  # what is locked below stays so until the connection is closed
    old.execute("BEGIN EXCLUSIVE")
    old.execute("COMMIT")
    old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _in_use(path: Path, error: sqlite3.Error) -> RestoreError:
    if files.is_busy(error):
        return RestoreError(f"{path} is in use by another process", hint="stop the application that uses it first")
    return RestoreError(f"{path} could not be locked: {error}", hint="stop the application that uses it first")


@contextmanager
def _disk(path: Path, written: int) -> Iterator[None]:
    """Turn what the system raises into a RestoreError; ``written`` is in bytes."""
    try:
        yield
    except FileExistsError as error:
        raise TargetExists(f"{path} exists already", hint="give --overwrite to replace it") from error
    except OSError as error:
        free = folders.free_space(path.parent)
        raise RestoreError(
            f"{path}: {error.strerror}, after {written:,} bytes; {free:,} bytes are free",
            hint="make room, or look at the rights to the folder",
        ) from error
