"""A folder of this machine as a destination.

An object is written under a hidden name in ``.incoming`` below the root, made durable, then linked into its place:
it is there whole or not at all, and a name that is taken stays as it is. Files in ``.incoming`` that nobody has
written to for a day belong to nobody. A symbolic link below the root is neither an object nor a way in.

A folder may be the mount point of a disk that is not mounted. So a storage that is ``marked`` is never made by its
use: its root must hold the file that :meth:`Local.mark` has put there, or nothing is read or written. Which machine has
put it there is known, too, so that another one can say where the folder lies; wherever the mark is, it may be used.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters import folders
from adapters.file_urls import path_of
from adapters.storage.disk_errors import translated
from adapters.storage.keys import (
    HIDDEN,
    INCOMING,
    MARK,
    MARK_TEXT,
    is_part,
    is_storable,
    new_part,
    parts_of,
    require_part,
)
from adapters.storage.trying import write_read_delete
from core.errors import ObjectNotFound
from core.fields import UNASKED
from core.ports import StoredObject
from core.streams import CHUNK_SIZE, Chunk, Chunks

PUBLISH_ATTEMPTS = 5


class LocalConfig(BaseModel):
    """Where the objects lie. A relative path is made absolute when the configuration is made.

    ``marked``: only a folder that holds the mark is used; otherwise it is made when it is missing. ``host`` is the
    machine that has marked it, where that is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    marked: bool = Field(default=False, json_schema_extra=UNASKED)
    host: str = Field(default="", json_schema_extra=UNASKED)

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()

    @classmethod
    def from_url(cls, url: str) -> LocalConfig:
        """From ``file:///folder`` or a plain path, which is taken as it is. Raises ConfigurationError."""
        return cls(path=path_of(url, "file") if "://" in url else Path(url))


class Local:
    """Objects as files below one folder."""

    kind: ClassVar[str] = "local"
    label: ClassVar[str] = "Local folder"
    schemes: ClassVar[tuple[str, ...]] = ("file",)
    config_type: ClassVar[type[LocalConfig]] = LocalConfig

    def __init__(self, config: LocalConfig) -> None:
        self._root = config.path
        self._mark = MARK if config.marked else None
        self._elsewhere = config.host if config.host != socket.gethostname() else ""

    def describe(self) -> str:
        """The folder's path, and where it was saved unless here."""
        return f"{self._root} (saved on {self._elsewhere})" if self._elsewhere else str(self._root)

    def mark(self) -> None:
        """Make the folder when it is missing, and put the mark into it. Raises StorageError."""
        with self._guarded(MARK), folders.folder(self._root, create=True) as root, suppress(FileExistsError):
            descriptor = folders.new_file(root, MARK)
            try:
                folders.write_all(descriptor, MARK_TEXT)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folders.sync_folder(root)

    def identity(self) -> str:
        """The root's own number on its device, whatever path, link or mount leads there. Raises StorageError."""
        with self._folder((), "") as root:
            status = os.fstat(root)
        return f"local:{status.st_dev}:{status.st_ino}"

    def check(self) -> None:
        """Prove by doing it that objects can be written, read back and deleted. Raises StorageError."""
        write_read_delete(self, hint="check the disk")

    def free_space(self) -> int:
        """Bytes that this user may still write below the root, or where the root would be made."""
        with self._guarded("the free space"):
            return folders.free_space(self._root)

    def put(self, key: str, chunks: Chunks) -> None:
        """Store an object whole or not at all. Raises ObjectExists, StorageFull or StorageError.

        Whatever the chunks raise is passed on, and nothing is left behind.
        """
        self._refuse_taken(key)
        name = new_part()
        with self._folder((INCOMING,), key, create=True) as incoming:
            try:
                written = self._write(incoming, name, key, chunks)
                with self._guarded(key, written):
                    self._publish(key, lambda folder, leaf: folders.move_new(incoming, name, folder, leaf))
            finally:
                with suppress(OSError):  # moved away, or its disk is gone; what remains is abandoned, not listed
                    os.unlink(name, dir_fd=incoming)

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        """The bytes from ``offset`` on, at most ``length``, in one reused buffer. Raises ObjectNotFound."""
        *above, leaf = parts_of(key)
        with self._folder(above, key) as folder, self._guarded(key):
            descriptor = folders.open_file(folder, leaf)
        try:
            status = os.fstat(descriptor)
            self._require_file(status, key)
            end = status.st_size if length is None else offset + length
            yield from self._read(descriptor, key, offset, end)
        finally:
            os.close(descriptor)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key starts with ``prefix``, by key. Raises StorageError where a folder is unreadable."""
        with self._guarded(prefix or "the list of objects"):
            for key, status in self._below((), prefix):
                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                yield StoredObject(key, status.st_size, modified)

    def present(self, key: str) -> bool:
        """Whether anything has this name, be it a folder or a dangling link. Raises StorageError."""
        *above, leaf = parts_of(key)
        with self._guarded(key):
            try:
                with folders.folder(self._root, above) as folder:
                    return folders.exists(folder, leaf)
            except FileNotFoundError:
                if not self._root.is_dir():
                    raise  # a root that is missing is not an empty one
                return False

    def delete(self, key: str) -> None:
        """Remove an object, and the folders it leaves empty. Raises ObjectNotFound."""
        *above, leaf = parts_of(key)
        with self._folder(above, key) as folder, self._guarded(key):
            self._require_file(os.stat(leaf, dir_fd=folder, follow_symlinks=False), key)
            os.unlink(leaf, dir_fd=folder)
            folders.sync_folder(folder)
        self._prune(above)

    def parts(self) -> Sequence[StoredObject]:
        """The files of unfinished uploads, with the time they were last written to. Raises StorageError."""
        found = []
        with self._guarded(INCOMING), ExitStack() as opened:
            try:
                incoming = opened.enter_context(self._opened((INCOMING,)))
            except FileNotFoundError:  # nothing was ever uploaded
                return []
            for name in filter(is_part, os.listdir(incoming)):  # noqa: PTH208 - by descriptor
                with suppress(FileNotFoundError):  # finished since its name was read
                    status = os.stat(name, dir_fd=incoming, follow_symlinks=False)
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    found.append(StoredObject(name, status.st_size, modified))
        return sorted(found, key=lambda part: part.key)

    def drop_part(self, key: str) -> None:
        """Remove the file of an unfinished upload. Raises StorageError for every other name."""
        require_part(key)
        with self._guarded(key), suppress(FileNotFoundError), self._opened((INCOMING,)) as incoming:
            os.unlink(key, dir_fd=incoming)

    def staging(self) -> Path:
        """The hidden folder for files that may be adopted; made when it is missing. Raises StorageError."""
        with self._folder((INCOMING,), INCOMING, create=True):
            return self._root / INCOMING

    def adopt(self, key: str, path: Path) -> bool:
        """Publish a finished file by a hard link, durably; its old name stays. False where no link can be made."""
        with self._guarded(key):
            _finish(path)
            try:
                self._publish(key, lambda folder, leaf: os.link(path, leaf, dst_dir_fd=folder, follow_symlinks=False))
            except OSError as error:
                if error.errno == errno.EXDEV or error.errno in folders.NO_HARD_LINKS:
                    return False
                raise
        return True

    def _refuse_taken(self, key: str) -> None:
        """Raise ObjectExists before a byte moves; the link that publishes is what decides."""
        *above, leaf = parts_of(key)
        with self._guarded(key), suppress(FileNotFoundError), self._opened(above) as folder:
            if folders.exists(folder, leaf):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), key)

    def _write(self, incoming: int, name: str, key: str, chunks: Chunks) -> int:
        """Write and sync a new file; gives its size. Only what the disk raises is translated."""
        with self._guarded(key):
            descriptor = folders.new_file(incoming, name)
        try:
            written = 0
            for chunk in chunks:
                with self._guarded(key, written):
                    folders.write_all(descriptor, chunk)
                written += len(chunk)
            with self._guarded(key, written):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return written

    def _read(self, descriptor: int, key: str, position: int, end: int) -> Iterator[Chunk]:
        """The bytes between two positions, fewer when the file ends before."""
        with self._guarded(key):
            os.posix_fadvise(descriptor, position, 0, os.POSIX_FADV_SEQUENTIAL)
        buffer = memoryview(bytearray(max(min(CHUNK_SIZE, end - position), 0)))
        while position < end:
            part = buffer[: end - position]
            with self._guarded(key):
                count = os.preadv(descriptor, [part], position)
            if not count:
                return
            position += count
            yield part[:count]

    def _publish(self, key: str, link: Callable[[int, str], None]) -> None:
        """Link a durable file into its folder, and make the folder durable. Raises OSError."""
        *above, leaf = parts_of(key)
        for attempt in range(PUBLISH_ATTEMPTS):
            with self._opened(above, create=True) as folder:
                try:
                    link(folder, leaf)
                except FileNotFoundError:  # a delete nearby pruned the folder that was just made or found
                    if attempt + 1 == PUBLISH_ATTEMPTS:
                        raise
                    continue
                _sync_or_withdraw(folder, leaf)
                return

    def _below(self, parts: tuple[str, ...], prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        """Keys and their status below one folder. Names sort with a folder's slash, which is the order of keys."""
        path = "".join(f"{part}/" for part in parts)
        for name, status in self._entries(parts):
            key = path + name
            if name.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._below((*parts, name[:-1]), prefix)
            elif stat.S_ISREG(status.st_mode) and key.startswith(prefix):
                yield key, status

    def _entries(self, parts: tuple[str, ...]) -> Sequence[tuple[str, os.stat_result]]:
        """The sorted names and status of what a folder holds; folders have a slash behind."""
        found: dict[str, os.stat_result] = {}
        try:
            with self._opened(parts) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    if is_storable(entry.name) and (parts or entry.name not in HIDDEN):
                        with suppress(FileNotFoundError):  # deleted since its name was read
                            status = entry.stat(follow_symlinks=False)
                            found[entry.name + "/" * stat.S_ISDIR(status.st_mode)] = status
        except FileNotFoundError:
            if not parts:
                raise  # a root that is missing is not an empty one; a folder that went was pruned
        return sorted(found.items())

    def _prune(self, parts: Sequence[str]) -> None:
        """Remove the folders that have become empty, deepest first, never the root."""
        with suppress(OSError):  # not empty, or not ours to remove: the object is gone all the same
            while parts:
                *parts, name = parts
                with self._opened(parts) as parent:
                    os.rmdir(name, dir_fd=parent)
                    folders.sync_folder(parent)

    def _require_file(self, status: os.stat_result, key: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFound(f"{key!r} in {self._root} is no object but a folder, a link or a device")

    @contextmanager
    def _folder(self, parts: Sequence[str], key: str, *, create: bool = False) -> Iterator[int]:
        """The folder, where only what opening it raises is translated, not what its user raises."""
        with ExitStack() as opened:
            with self._guarded(key):
                descriptor = opened.enter_context(self._opened(parts, create=create))
            yield descriptor

    def _opened(self, parts: Sequence[str], *, create: bool = False) -> AbstractContextManager[int]:
        return folders.folder(self._root, parts, create=create, mark=self._mark)

    def _guarded(self, key: str, written: int = 0) -> AbstractContextManager[None]:
        return translated(self._root, key, written, elsewhere=self._elsewhere)


def _finish(path: Path) -> None:
    """Make a file durable and private before it is published."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, folders.FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_or_withdraw(folder: int, leaf: str) -> None:
    """Make a new name durable; a name that may not survive a crash is taken back."""
    try:
        folders.sync_folder(folder)
    except BaseException:
        os.unlink(leaf, dir_fd=folder)
        raise
