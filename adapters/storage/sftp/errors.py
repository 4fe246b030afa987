"""What a server, a network or paramiko raises, said to people: the one edge that foreign exceptions pass."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import paramiko

from adapters.storage.keys import MARK
from adapters.storage.sftp.config import SFTPConfig
from adapters.storage.sftp.protocol import (
    NO_SUCH_FILE,
    PERMISSION_DENIED,
    UNSUPPORTED,
    Garbled,
    Refusal,
    Space,
)
from core.errors import ConnectionError, ObjectExists, ObjectNotFound, StorageError, StorageFull

NEARLY_NOTHING = 1 << 20  # bytes; a write that failed with less than this free failed for want of room


@contextmanager
def translated(config: SFTPConfig) -> Iterator[None]:
    """Turn what the connection raises into a ConnectionError, and talk that is not SFTP into a StorageError."""
    try:
        yield
    except TimeoutError:
        raise ConnectionError(
            f"{config.address} did not answer within {config.timeout} seconds",
            hint="check the network and the server; the option timeout sets how long an answer may take",
        ) from None
    except paramiko.ChannelException as error:
        raise ConnectionError(
            f"{config.address} opened no further channel: {error.text}",
            hint="fewer transfers at once, or a larger MaxSessions in the server's sshd_config",
        ) from None
    except (EOFError, OSError, paramiko.SSHException) as error:
        raise ConnectionError(
            f"the connection to {config.address} broke off: {_reason(error)}",
            hint="check the network and the server's log, then try again",
        ) from None
    except Garbled as error:
        raise StorageError(
            f"{config.address} does not speak SFTP to '{config.login}': {error}",
            hint="is the sftp subsystem set up, and does the login shell print nothing?",
        ) from None


@contextmanager
def reaching(config: SFTPConfig) -> Iterator[None]:
    """Turn what connecting raises, up to the login, into a ConnectionError."""
    try:
        yield
    except socket.gaierror as error:
        raise ConnectionError(
            f"the host {config.host} is not known: {error.strerror}",
            hint="check its name",
            permanent=error.errno == socket.EAI_NONAME,
        ) from None
    except TimeoutError:
        raise _silent(config) from None
    except ConnectionRefusedError:
        raise ConnectionError(
            f"nobody listens on {config.address}", hint="check host and port, and whether the SSH server runs"
        ) from None
    except (EOFError, OSError, paramiko.SSHException) as error:
        raise ConnectionError(
            f"no SSH connection to {config.address} came about within {config.connect_timeout} seconds: "
            f"{_reason(error)}",
            hint="check host and port, and the server's log",
        ) from None


def _silent(config: SFTPConfig) -> ConnectionError:
    return ConnectionError(
        f"{config.address} did not answer within {config.connect_timeout} seconds",
        hint="check host, port and firewalls; the option connect_timeout sets how long to wait",
    )


def no_subsystem(config: SFTPConfig) -> StorageError:
    """The login works, and the server refuses to talk SFTP."""
    return StorageError(
        f"{config.address} has no SFTP for '{config.login}'",
        hint="its sshd_config needs: Subsystem sftp internal-sftp",
    )


def missing(config: SFTPConfig, key: str, *, root: bool) -> StorageError:
    """What an answer of "no such file" means: for an object, or for the root itself."""
    if root:
        return StorageError(
            f"the folder {config.shown} does not exist", hint="is its disk mounted there? check() makes a new one"
        )
    return ObjectNotFound(f"{config.shown} holds no object {key!r}", hint="list what it holds")


def not_marked(config: SFTPConfig, *, there: bool) -> StorageError:
    """What it means that the root of a saved storage is missing or has no mark."""
    lack = f"does not hold the file {MARK}, put there when it was saved" if there else "does not exist"
    return StorageError(
        f"the folder {config.shown} {lack}",
        hint="is its disk mounted on the server? If this is a new disk, remove the storage and add it again",
    )


def taken(config: SFTPConfig, parts: Sequence[str]) -> ObjectExists:
    """An object has this name already."""
    return ObjectExists(f"{'/'.join(parts)!r} is already stored in {config.shown}", hint="nothing is ever overwritten")


def refused(config: SFTPConfig, key: str, refusal: Refusal, space: Space | None, written: int) -> StorageError:
    """What the server refused, with the reason behind a bare "failure" where its file system gives one away."""
    if refusal.code == PERMISSION_DENIED:
        return StorageError(
            f"{key!r} in {config.shown}: permission denied for '{config.login}'",
            hint=f"let '{config.login}' read and write {config.path} and everything below it",
        )
    if space is not None and space.read_only:
        return StorageError(f"{key!r} in {config.shown}: read-only file system", hint="mount it writable")
    if space is not None and written and space.free < NEARLY_NOTHING:
        return StorageFull(
            f"{config.shown} is full: {written:,} bytes of {key!r} had been sent, {space.free:,} bytes are free",
            hint="make room, raise the quota or use a larger disk; nothing of the object was kept",
        )
    return StorageError(
        f"{key!r} in {config.shown}: {refusal.text}",
        hint="see the server's log for what stands behind it",
        permanent=refusal.code in (NO_SUCH_FILE, UNSUPPORTED),
    )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "it was closed"
