"""An object of a remote destination, brought onto a disk of this machine so that it can be read twice.

A disk that is too small is found out before the first byte, and is an error like any other when it fills up
meanwhile. What a failed download has written is removed: the next try begins afresh.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from adapters.folders import FILE_MODE, free_space
from core.errors import StorageError, StorageFull
from core.ports import StorageAdapter
from core.streams import CHUNK_SIZE, Chunk, Meter, through
from services import progress
from services.backups import StoredBytes

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_MORE_ROOM = "free some space there, or set DBACKUP_SCRATCH to a folder with more room"


def download(storage: StorageAdapter, key: str, size: int, path: Path) -> StoredBytes:
    """The object of ``size`` bytes as a new, private file.

    Raises StorageFull, StorageError for another refusal of the disk, or what the storage raises; then there is no
    file.
    """
    with _disk(path):
        _require_room(path, size)
    try:
        with _disk(path), progress.step(f"download {path.name}", size) as advance:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(through(storage.get(key), Meter(advance)))
    except BaseException:
        discard(path)
        raise
    return StoredBytes(f"{path.name} as downloaded from {storage.describe()}", lambda: _chunks(path))


def discard(path: Path) -> None:
    """Remove a download, if there is one. A disk that refuses even that must not hide what went wrong before."""
    with suppress(OSError):
        path.unlink()


def _require_room(path: Path, size: int) -> None:
    free = free_space(path.parent)
    if free < size:
        raise StorageFull(
            f"{path.parent} has {free:,} bytes free, and {path.name} has {size:,}: {size - free:,} are missing",
            hint=_MORE_ROOM,
        )


def _chunks(path: Path) -> Iterator[Chunk]:
    with _disk(path), path.open("rb", buffering=0) as file:
        yield from iter(partial(file.read, CHUNK_SIZE), b"")


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Say what the disk refuses. Storages raise no OSError of their own."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"no room left for {path.name} in {path.parent}", hint=_MORE_ROOM) from None
        raise StorageError(
            f"{path.name} cannot be kept in {path.parent}: {error.strerror}", hint="look at the folder and its disk"
        ) from None
