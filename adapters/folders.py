"""Folders of this machine by descriptor, and what keeps files in them whole, private and durable.

Folders below a root are opened part by part, so that no symbolic link inside the tree leads out of it, and
nothing can be put in a folder's place between a check and its use. What is made here is 0700 for folders and
0600 for files, whatever the umask. Functions raise plain OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_SYNC_OF_FOLDERS = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class NotMarked(OSError):
    """The root is missing or lacks its mark. No FileNotFoundError: nothing in it may be taken for deleted."""


@contextmanager
def folder(root: Path, parts: Sequence[str] = (), *, create: bool = False, mark: str | None = None) -> Iterator[int]:
    """A descriptor of the folder ``parts`` below the root; missing folders are made durably if asked.

    With ``mark`` the root is never made, and NotMarked is raised unless it holds a file of this name.
    """
    descriptor = _open_root(root, create) if mark is None else _open_marked(root, mark)
    try:
        for part in parts:
            parent, descriptor = descriptor, _enter(descriptor, part, create)
            os.close(parent)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_marked(root: Path, mark: str) -> int:
    """Open the root and look for the mark in what was opened, whatever is mounted there a moment later."""
    try:
        descriptor = os.open(root, _FOLDER)
    except FileNotFoundError as error:
        raise NotMarked(*error.args) from None
    try:
        if exists(descriptor, mark):
            return descriptor
        raise NotMarked(errno.ENODEV, "its mark is missing", mark)
    except OSError:
        os.close(descriptor)
        raise


def _open_root(root: Path, create: bool) -> int:
    """Open the root, which may itself be a symbolic link: where it lies is the user's choice."""
    try:
        return os.open(root, _FOLDER)
    except FileNotFoundError:
        if not create:
            raise
    parent = _open_root(root.parent, create)
    try:
        return _enter(parent, root.name, create)
    finally:
        os.close(parent)


def _enter(parent: int, name: str, create: bool) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        _make(parent, name)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)


def _make(parent: int, name: str) -> None:
    os.mkdir(name, FOLDER_MODE, dir_fd=parent)
    os.chmod(name, FOLDER_MODE, dir_fd=parent)  # mkdir takes the umask's bits away
    sync_folder(parent)


def new_file(parent: int, name: str) -> int:
    """A descriptor to write a file that did not exist."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=parent)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def open_file(parent: int, name: str) -> int:
    """A descriptor to read a file. A pipe does not block the call, and a symbolic link fails it."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)


def write_all(descriptor: int, chunk: bytes | bytearray | memoryview) -> None:
    """Write every byte; the system may take them in parts."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def move_new(source: int, name: str, target: int, leaf: str) -> None:
    """Move a file to a name that is free, never over another file. Raises FileExistsError."""
    try:
        os.link(name, leaf, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _rename_if_free(source, name, target, leaf)
    else:
        os.unlink(name, dir_fd=source)


def _rename_if_free(source: int, name: str, target: int, leaf: str) -> None:
    """For file systems without hard links (FAT, some network mounts): one mover at a time looks, then renames."""
    fcntl.flock(source, fcntl.LOCK_EX)
    try:
        if exists(target, leaf):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), leaf)
        os.rename(name, leaf, src_dir_fd=source, dst_dir_fd=target)
    finally:
        fcntl.flock(source, fcntl.LOCK_UN)


def exists(parent: int, name: str) -> bool:
    """Whether something has this name, a dangling link included."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def sync_folder(descriptor: int) -> None:
    """Make the folder's names durable, where its file system knows how to."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise


def free_space(path: Path) -> int:
    """Bytes that this user may still write at the path, or where it would be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize
