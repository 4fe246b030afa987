"""Secrets of a home in files of their own: private, durable, and written once."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigurationError


def written_once(path: Path, text: str) -> str:
    """Write a 0600 file unless it exists, and give what it holds: of two at once, both get the first one's.

    Raises ConfigurationError when the folder cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _link_new(path, text)
        return path.read_text()
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="make DBACKUP_HOME writable, or set it to another folder"
        ) from None


def rewritten(path: Path, text: str) -> None:
    """Put a durable 0600 file in the place of another in one step. Raises ConfigurationError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        written_once(beside, text)
        beside.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", hint="make DBACKUP_HOME writable") from None


@contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Hold a lock of this home, waiting for whoever has it: what is read within is still true when it is written."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _link_new(path: Path, text: str) -> None:
    """Never a file that is empty or half written: it is linked into place when it is durable."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(beside, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return
    finally:
        beside.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
