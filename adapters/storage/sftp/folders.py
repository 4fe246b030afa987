"""Names and folders on an SFTP server: what every upload, list and delete is made of. Raises Refusal."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from adapters.storage.sftp.protocol import HARDLINK, NO_SUCH_FILE, Attributes, Refusal, Session, Space

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def below(folder: bytes, *names: str) -> bytes:
    """The path of what has these names, one below the other, in a folder."""
    return b"/".join([folder.rstrip(b"/"), *(name.encode() for name in names)]) or b"/"


def attributes(session: Session, path: bytes) -> Attributes | None:
    """What lies there, or None. Raises every Refusal but that of a missing file."""
    try:
        return session.lstat(path)
    except Refusal as refusal:
        if refusal.code == NO_SUCH_FILE:
            return None
        raise


def make(session: Session, path: bytes) -> bool:
    """Make a folder with those above it, unless it is there; false when something else is. Raises Refusal."""
    if (found := attributes(session, path)) is not None:
        return found.is_folder
    if above := path.rpartition(b"/")[0]:
        make(session, above)
    try:
        session.mkdir(path, FOLDER_MODE)
    except Refusal:
        if (found := attributes(session, path)) is None:  # else another was faster
            raise
        return found.is_folder
    return True


def move_new(session: Session, unfinished: bytes, target: bytes) -> None:
    """Give a file a name that is free, never over another file. Raises Refusal."""
    if HARDLINK in session.extensions:
        with suppress(Refusal):
            session.hardlink(unfinished, target)
            with suppress(Refusal):  # it has its name; what remains is hidden and never listed
                session.remove(unfinished)
            return
        if attributes(session, target) is not None:
            raise Refusal(0, "the name is taken")
    # Where there are no hard links: the protocol's rename, which must fail where something has the new name.
    session.rename(unfinished, target)


def room(session: Session, path: bytes) -> Space | None:
    """The room of the file system of a folder, or of the one in which it would be made; None where nobody says."""
    while path != b"/" and attributes(session, path) is None:
        path = path.rpartition(b"/")[0] or b"/"
    with suppress(Refusal):
        return session.space(path)
    return None


def remove_if_there(session: Session, path: bytes) -> None:
    """Remove a file; one that is gone already is no error. Raises every other Refusal."""
    try:
        session.remove(path)
    except Refusal as refusal:
        if refusal.code != NO_SUCH_FILE:
            raise


def clock_behind(session: Session, probe: bytes) -> timedelta:
    """How far the server's clock is behind ours, as a new file shows, which is removed again."""
    try:
        session.close_handle(session.create(probe, FILE_MODE))
    except Refusal:  # a full disk, above all, must remain one that can be cleaned
        return timedelta()
    try:
        return datetime.now(UTC) - datetime.fromtimestamp(session.lstat(probe).modified, UTC)
    finally:
        session.remove(probe)
