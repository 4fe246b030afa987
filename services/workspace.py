"""The private folder of one run, and how leftovers of dead runs are found.

A run holds an exclusive lock on a file in its folder for as long as its process lives; the kernel lets go of it
however the process dies. So whoever can take the lock knows that the owner is gone and may remove the folder: no
process ids, which are used again, and no ages, which are guesses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BackupError, ConfigurationError

_OWNER = ".owner"  # held by a run for as long as it lives
_GATE = ".gate"  # held for the moment in which a folder is made or judged abandoned


@contextmanager
def workspace(parent: Path, run_id: str) -> Iterator[Path]:
    """A new 0700 folder ``parent/run_id``, removed with all it holds at the end. Raises ConfigurationError."""
    folder = parent / run_id
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _gate(parent):
            folder.mkdir(mode=0o700)
            owner = os.open(folder / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(owner, fcntl.LOCK_EX)
            os.write(owner, str(os.getpid()).encode())
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the run's folder {folder}: {error.strerror}",
            hint="make the folder above it writable, or set DBACKUP_SCRATCH to another one",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


@contextmanager
def held(parent: Path, name: str, job: str) -> Iterator[None]:
    """Hold a job for as long as this context lasts: the kernel lets go of it however the process dies.

    Raises BackupError when another process holds it, ConfigurationError when the folder cannot be used.
    """
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(parent / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {parent}: {error.strerror}", hint="set DBACKUP_HOME to a writable folder"
        ) from None
    try:
        _take(lock, job)
        yield
    finally:
        os.close(lock)


def _take(lock: int, job: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupError(
            f"{job} is running already, and a job never overlaps itself",
            hint="wait for that run to end",
            permanent=False,
        ) from None


def sweep(parent: Path) -> list[str]:
    """Remove the folders of runs that are no longer alive, and give their ids."""
    if not parent.is_dir():
        return []
    with _gate(parent):
        return [folder.name for folder in sorted(parent.iterdir()) if _is_abandoned(folder) and _removed(folder)]


def alive(parent: Path) -> set[str]:
    """The ids of the runs that hold a folder here."""
    if not parent.is_dir():
        return set()
    with _gate(parent):
        return {folder.name for folder in parent.iterdir() if (folder / _OWNER).exists() and not _is_abandoned(folder)}


def owner_of(parent: Path, run_id: str) -> int | None:
    """The id of the process that holds a run's folder, or None when none does. It is its own as long as it holds it."""
    folder = parent / run_id
    if not folder.is_dir():
        return None
    with _gate(parent):
        try:
            return None if _is_abandoned(folder) else int((folder / _OWNER).read_text())
        except (OSError, ValueError):  # it has just ended, or an older version made it
            return None


@contextmanager
def _gate(parent: Path) -> Iterator[None]:
    gate = os.open(parent / _GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _is_abandoned(folder: Path) -> bool:
    try:
        owner = os.open(folder / _OWNER, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False  # not the folder of a run
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(owner)
    return True


def _removed(folder: Path) -> bool:
    """Remove a folder, its mark of ownership last: a sweep that is cut is taken up again by the next."""
    for inside in folder.iterdir():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside, ignore_errors=True)
        elif inside.name != _OWNER:
            inside.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
