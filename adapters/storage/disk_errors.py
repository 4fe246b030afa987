"""What the operating system raises while it keeps a folder of objects, said to people."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.folders import NotMarked, free_space
from adapters.storage.keys import MARK
from core.errors import ObjectExists, ObjectNotFound, StorageError, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN})  # of network mounts
_ADVICE = {
    errno.EROFS: "mount its file system writable",
    errno.ENOTDIR: "a part of the path is a file or a symbolic link; links below the root are not followed",
    errno.ELOOP: "it is a symbolic link; links below the root are not followed",
    errno.EIO: "the disk reports errors: look at the system's log",
}


@contextmanager
def translated(root: Path, key: str, written: int = 0, *, elsewhere: str = "") -> Iterator[None]:
    """Turn an OSError into a StorageError that names the root and the key.

    ``written`` is in bytes, ``elsewhere`` the machine whose folder it is, unless it is this one's.
    """
    try:
        yield
    except NotMarked as error:
        raise (_of_another_machine(root, elsewhere) if elsewhere else _not_marked(root)) from error
    except OSError as error:
        raise _storage_error(error, root, key, written) from error


def _storage_error(error: OSError, root: Path, key: str, written: int) -> StorageError:
    if isinstance(error, FileExistsError):
        return ObjectExists(f"{key!r} is already stored in {root}", hint="nothing is ever overwritten")
    if isinstance(error, FileNotFoundError):
        return _missing(root, key)
    if error.errno in _FULL:
        return _full(root, key, written)
    return StorageError(
        f"{key!r} in {root}: {error.strerror}", hint=_advice(error, root), permanent=error.errno not in _PASSING
    )


def _not_marked(root: Path) -> StorageError:
    lack = f"does not hold the file {MARK}, put there when it was saved" if root.is_dir() else "does not exist"
    return StorageError(
        f"the folder {root} {lack}",
        hint="is its disk mounted? If this is a new disk, remove the storage and add it again",
    )


def _of_another_machine(root: Path, host: str) -> StorageError:
    return StorageError(
        f"this storage is the folder {root} of {host}, and this is {socket.gethostname()}",
        hint=f"run it on {host}, a job by a queue that only {host} serves (--queue); or copy the whole folder here",
    )


def _missing(root: Path, key: str) -> StorageError:
    if not root.is_dir():
        return StorageError(f"the folder {root} does not exist", hint="is its disk mounted?")
    return ObjectNotFound(f"{root} holds no object {key!r}", hint="list what it holds")


def _full(root: Path, key: str, written: int) -> StorageFull:
    return StorageFull(
        f"{root} is full: {written:,} bytes of {key!r} had been written, {free_space(root):,} bytes are free",
        hint="make room, raise the quota or use a larger disk; nothing of the object was kept",
    )


def _advice(error: OSError, root: Path) -> str:
    if isinstance(error, PermissionError):
        return f"let the user with the id {os.geteuid()} read and write {root} and everything below it"
    return _ADVICE.get(error.errno or 0, "look at the folder and its file system")
