"""A folder of an SFTP server as a destination.

An object is written under a hidden name in ``.incoming`` below the root, made durable, then given its name by a hard
link: it is there whole or not at all, and a name that is taken stays as it is. A symbolic link below the root is
neither an object nor a way in.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import ClassVar

from adapters.storage.keys import INCOMING, is_storable, parts_of
from adapters.storage.sftp.config import SCHEME, SFTPConfig
from adapters.storage.sftp.connection import Connection
from adapters.storage.sftp.errors import missing, refused, translated
from adapters.storage.sftp.protocol import HARDLINK, NO_SUCH_FILE, Attributes, Refusal, Session, Space
from adapters.storage.sftp.transfer import Upload, download
from core.errors import DBackupError, ObjectExists, ObjectNotFound, StorageError
from core.ports import StoredObject
from core.streams import Chunk, Chunks

FOLDER_MODE = 0o700
FILE_MODE = 0o600
PUBLISH_ATTEMPTS = 5


class SFTP:
    """Objects as files below one folder of a server. May be shared by threads."""

    kind: ClassVar[str] = "sftp"
    label: ClassVar[str] = "SFTP"
    schemes: ClassVar[tuple[str, ...]] = (SCHEME,)
    config_type: ClassVar[type[SFTPConfig]] = SFTPConfig

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self._connection = Connection(config)
        self._found_root: bytes | None = None

    def describe(self) -> str:
        """The server and the folder, without the user."""
        return self._config.shown

    def identity(self) -> str:
        """The server's host key, the login and the folder's real path.

        The login is part of it: two that are locked into different folders may call them by one path.
        """
        with self._session("") as session:
            return f"sftp:{self._connection.fingerprint}:{self._config.login}:{self._root(session).decode()}"

    def check(self) -> None:
        """Prove by doing it that objects can be written, read back and deleted. Raises StorageError."""
        key, written = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.put(key, [written])
        try:
            read = b"".join(bytes(chunk) for chunk in self.get(key))
        finally:
            self.delete(key)
        if read != written:
            raise StorageError(f"{self.describe()} gave back other bytes than were written", hint="check its disk")

    def free_space(self) -> int | None:
        """Bytes that can still be written, where the server says so."""
        with self._session("the free space") as session:
            space = self._space(session)
        return None if space is None else space.free

    def put(self, key: str, chunks: Chunks) -> None:
        """Store an object whole or not at all. Raises ObjectExists, StorageFull, StorageError or ConnectionError.

        Whatever the chunks raise is passed on, and nothing is left behind as long as the server can be reached.
        """
        parts = parts_of(key)
        name = f"upload-{secrets.token_hex(8)}.part"
        with self._connection.session() as session:
            with self._guarded(session, key):
                self._refuse_taken(session, parts)
                unfinished = _below(self._made(session, (INCOMING,)), name)
                upload = Upload(session, session.create(unfinished, FILE_MODE))
            try:
                for chunk in chunks:
                    with self._guarded(session, key, upload):
                        upload.write(chunk)
                with self._guarded(session, key, upload):
                    upload.finish()
                    self._publish(session, unfinished, parts)
            except BaseException:
                session.close()  # whatever is still on its way ends before the file is removed
                self._discard(unfinished)
                raise

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        """The bytes from ``offset`` on, at most ``length``, read ahead within a bound. Raises ObjectNotFound."""
        parts = parts_of(key)
        with self._session(key) as session:
            path, size = self._object(session, parts)
            end = size if length is None else min(size, offset + length)
            handle = session.open(path)
            yield from download(session, handle, offset, end)
            session.close_handle(handle)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key starts with ``prefix``, by key. Raises StorageError where a folder is unreadable."""
        for key, found in self._listed((), prefix):
            yield StoredObject(key, found.size, datetime.fromtimestamp(found.modified, UTC))

    def present(self, key: str) -> bool:
        """Whether anything has this name, be it a folder or a dangling link. Raises StorageError."""
        parts = parts_of(key)
        with self._session(key) as session:
            root = self._root(session)
            if _attributes(session, root) is None:  # a root that is missing is not an empty one
                raise missing(self._config, key, root=True)
            folder = _below(root, *parts[:-1])
            if _attributes(session, folder) is None:
                return False
            if session.realpath(folder) != folder:
                raise StorageError(
                    f"a folder of {key!r} in {self.describe()} is a symbolic link",
                    hint="links below the root are not followed; remove it",
                )
            return _attributes(session, _below(folder, parts[-1])) is not None

    def delete(self, key: str) -> None:
        """Remove an object, and the folders it leaves empty. Raises ObjectNotFound."""
        parts = parts_of(key)
        with self._session(key) as session:
            path, _ = self._object(session, parts)
            session.remove(path)
            with suppress(Refusal):  # not empty, or not ours to remove: the object is gone all the same
                for depth in range(len(parts) - 1, 0, -1):
                    session.rmdir(_below(self._root(session), *parts[:depth]))

    def remote_sha256(self, key: str) -> str | None:
        """The SHA-256 that the server itself computes, in hex; None where it runs no command for this login."""
        with self._session(key) as session:
            path, size = self._object(session, parts_of(key))
        return self._connection.sha256(path, size)

    # --- publishing ---

    def _refuse_taken(self, session: Session, parts: Sequence[str]) -> None:
        """Raise ObjectExists before a byte moves; the link that publishes is what decides."""
        if _attributes(session, _below(self._root(session), *parts)) is not None:
            raise self._taken(parts)

    def _publish(self, session: Session, unfinished: bytes, parts: Sequence[str]) -> None:
        """Give a finished file its name. Raises ObjectExists where the name is taken, else Refusal."""
        for attempt in range(PUBLISH_ATTEMPTS):
            target = _below(self._made(session, parts[:-1]), parts[-1])
            try:
                _move_new(session, unfinished, target)
            except Refusal as refusal:
                if _attributes(session, target) is not None:
                    raise self._taken(parts) from None
                # A delete nearby may have pruned the folder that was just made or found.
                if refusal.code != NO_SUCH_FILE or attempt + 1 == PUBLISH_ATTEMPTS:
                    raise
            else:
                return

    def _discard(self, unfinished: bytes) -> None:
        with suppress(DBackupError, Refusal), self._connection.session() as session:
            session.remove(unfinished)

    def _taken(self, parts: Sequence[str]) -> ObjectExists:
        return ObjectExists(
            f"{'/'.join(parts)!r} is already stored in {self.describe()}", hint="nothing is ever overwritten"
        )

    # --- folders ---

    def _root(self, session: Session) -> bytes:
        """The root's path, without links once it exists. Raises Refusal."""
        if self._found_root is not None:
            return self._found_root
        path = self._config.path.encode()
        if not path.startswith(b"/"):
            path = _below(session.realpath(b"."), self._config.path)
        if _attributes(session, path) is None:
            return path
        self._found_root = session.realpath(path)
        return self._found_root

    def _made(self, session: Session, parts: Sequence[str]) -> bytes:
        """A folder below the root, made with those above it where it is missing. Raises StorageError or Refusal."""
        root = self._root(session)
        _make(session, root)
        for depth in range(1, len(parts) + 1):
            path = _below(root, *parts[:depth])
            if not _make(session, path):
                raise StorageError(
                    f"{'/'.join(parts[:depth])!r} in {self.describe()} is no folder",
                    hint="it is a file or a symbolic link; links below the root are not followed",
                )
        return _below(root, *parts)

    def _object(self, session: Session, parts: Sequence[str]) -> tuple[bytes, int]:
        """The path and size of an object, on a way without links. Raises ObjectNotFound or Refusal."""
        folder = _below(self._root(session), *parts[:-1])
        path = _below(folder, parts[-1])
        found = session.lstat(path)
        if not found.is_file or (len(parts) > 1 and session.realpath(folder) != folder):
            raise ObjectNotFound(f"{'/'.join(parts)!r} in {self.describe()} is no object but a folder or a link")
        return path, found.size

    def _listed(self, parts: tuple[str, ...], prefix: str) -> Iterator[tuple[str, Attributes]]:
        """Keys and attributes below one folder. Names sort with a folder's slash, which is the order of keys."""
        path = "".join(f"{part}/" for part in parts)
        for name, found in self._entries(parts, prefix):
            key = path + name
            if name.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._listed((*parts, name[:-1]), prefix)
            elif found.is_file and key.startswith(prefix):
                yield key, found

    def _entries(self, parts: tuple[str, ...], prefix: str) -> Sequence[tuple[str, Attributes]]:
        """The sorted names and attributes of what a folder holds; folders have a slash behind."""
        with self._session(prefix or "the list of objects") as session:
            try:
                entries = sorted(session.entries(_below(self._root(session), *parts)))
            except Refusal as refusal:
                if parts and refusal.code == NO_SUCH_FILE:  # pruned since its name was read
                    return []
                raise
        names = [(name.decode(errors="surrogateescape") + "/" * one.is_folder, one) for name, one in entries]
        return sorted(
            (one for one in names if is_storable(one[0]) and (parts or one[0] != f"{INCOMING}/")),
            key=lambda one: one[0],
        )

    # --- errors ---

    @contextmanager
    def _session(self, key: str) -> Iterator[Session]:
        with self._connection.session() as session, self._guarded(session, key):
            yield session

    @contextmanager
    def _guarded(self, session: Session, key: str, upload: Upload | None = None) -> Iterator[None]:
        """Translate what the server and the connection raise, and nothing else."""
        try:
            with translated(self._config):
                yield
        except Refusal as refusal:
            with translated(self._config):
                raise self._explained(session, key, refusal, upload.written if upload else 0) from None

    def _explained(self, session: Session, key: str, refusal: Refusal, written: int) -> StorageError:
        if refusal.code == NO_SUCH_FILE:
            return missing(self._config, key, root=_attributes(session, self._root(session)) is None)
        return refused(self._config, key, refusal, self._space(session), written)

    def _space(self, session: Session) -> Space | None:
        """The room of the root's file system, or of the one in which the root would be made."""
        path = self._root(session)
        while path != b"/" and _attributes(session, path) is None:
            path = path.rpartition(b"/")[0] or b"/"
        with suppress(Refusal):
            return session.space(path)
        return None


def _below(folder: bytes, *names: str) -> bytes:
    return b"/".join([folder.rstrip(b"/"), *(name.encode() for name in names)]) or b"/"


def _attributes(session: Session, path: bytes) -> Attributes | None:
    """What lies there, or None. Raises every Refusal but that of a missing file."""
    try:
        return session.lstat(path)
    except Refusal as refusal:
        if refusal.code == NO_SUCH_FILE:
            return None
        raise


def _make(session: Session, path: bytes) -> bool:
    """Make a folder with those above it, unless it is there; false when something else is. Raises Refusal."""
    if (found := _attributes(session, path)) is not None:
        return found.is_folder
    if above := path.rpartition(b"/")[0]:
        _make(session, above)
    try:
        session.mkdir(path, FOLDER_MODE)
    except Refusal:
        if (found := _attributes(session, path)) is None:  # else another was faster
            raise
        return found.is_folder
    return True


def _move_new(session: Session, unfinished: bytes, target: bytes) -> None:
    """Give a file a name that is free, never over another file. Raises Refusal."""
    if HARDLINK in session.extensions:
        with suppress(Refusal):
            session.hardlink(unfinished, target)
            with suppress(Refusal):  # it has its name; what remains is hidden and never listed
                session.remove(unfinished)
            return
        if _attributes(session, target) is not None:
            raise Refusal(0, "the name is taken")
    # Where there are no hard links: the protocol's rename, which must fail where something has the new name.
    session.rename(unfinished, target)
