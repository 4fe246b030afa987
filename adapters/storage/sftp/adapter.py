"""A folder of an SFTP server as a destination.

An object is written under a hidden name in ``.incoming`` below the root, made durable, then given its name by a hard
link: it is there whole or not at all, and a name that is taken stays as it is. A symbolic link below the root is
neither an object nor a way in.

The folder may be the mount point of a disk that is not mounted on the server. So a storage that is ``marked`` is never
made by its use: its root must hold the file that :meth:`SFTP.mark` has put there, or nothing is read or written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar

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
from adapters.storage.sftp.config import SCHEME, SFTPConfig
from adapters.storage.sftp.connection import Connection
from adapters.storage.sftp.errors import missing, refused, taken, translated
from adapters.storage.sftp.folders import (
    FILE_MODE,
    attributes,
    below,
    clock_behind,
    make,
    move_new,
    remove_if_there,
    room,
)
from adapters.storage.sftp.following import Follower
from adapters.storage.sftp.protocol import NO_SUCH_FILE, Attributes, Refusal, Session
from adapters.storage.sftp.resuming import Once, Part, agrees, stored_sha256
from adapters.storage.sftp.root import Root
from adapters.storage.sftp.transfer import Upload, download
from adapters.storage.trying import write_read_delete
from core.errors import ConnectionError, DBackupError, StorageError
from core.log import logger
from core.ports import HASHED_BY_SERVER, Rereadable, StoredObject
from core.streams import Chunk, Chunks

PUBLISH_ATTEMPTS = 5
DISCARD_PAUSES = (0.0, 0.5, 2.0)  # seconds before each try
log = logger(storage="sftp")


class SFTP:
    """Objects as files below one folder of a server. May be shared by threads."""

    kind: ClassVar[str] = "sftp"
    label: ClassVar[str] = "SFTP"
    schemes: ClassVar[tuple[str, ...]] = (SCHEME,)
    config_type: ClassVar[type[SFTPConfig]] = SFTPConfig
    hashed_on_arrival: ClassVar[str] = HASHED_BY_SERVER

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self._connection = Connection(config)
        self._root = Root(config)
        self._broken: dict[str, Part] = {}  # uploads that a later call may go on with, by key
        self._followers: dict[str, tuple[int, Follower]] = {}  # of uploads that are over, with their sizes, by key

    def describe(self) -> str:
        """The server and the folder, without the user."""
        return self._config.shown

    def mark(self) -> None:
        """Make the folder when it is missing, and put the mark into it. Raises StorageError or ConnectionError."""
        with self._session(MARK) as session:
            make(session, self._root.path(session))
            path = below(self._root.path(session), MARK)
            if attributes(session, path) is None:
                upload = Upload(session, session.create(path, FILE_MODE))
                upload.write(MARK_TEXT)
                upload.finish()

    def identity(self) -> str:
        """The server's host key, the login and the folder's real path.

        The login is part of it: two that are locked into different folders may call them by one path.
        """
        with self._session("") as session:
            return f"sftp:{self._connection.fingerprint}:{self._config.login}:{self._root.required(session).decode()}"

    def check(self) -> None:
        """Prove by doing it that objects can be written, read back and deleted. Raises StorageError."""
        write_read_delete(self, hint="check its disk")

    def free_space(self) -> int | None:
        """Bytes that can still be written, where the server says so."""
        with self._session("the free space") as session:
            space = room(session, self._root.path(session))
        return None if space is None else space.free

    def put(self, key: str, chunks: Chunks) -> None:
        """Store an object whole or not at all. Raises ObjectExists, StorageFull, StorageError or ConnectionError.

        Whatever the chunks raise is passed on, and nothing is left behind as long as the server can be reached.
        """
        part = Part()
        try:
            self._store(key, part, Once(chunks))
        except BaseException:
            self._discard(part)
            raise

    def put_resumable(self, key: str, source: Rereadable) -> None:
        """As :meth:`put`, but a broken connection leaves what has arrived for the next call to go on with."""
        part = self._broken.pop(key, Part())  # taken out: no two uploads ever write one file
        try:
            self._store(key, part, source)
        except ConnectionError as failure:
            if failure.permanent:
                self._discard(part)
            else:
                self._broken[key] = part
            raise
        except BaseException:
            self._discard(part)
            raise

    def forget_upload(self, key: str) -> None:
        """Remove what :meth:`put_resumable` has kept. One that stays is told of in the log."""
        self._discard(self._broken.pop(key, Part()))

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        """The bytes from ``offset`` on, at most ``length``, read ahead within a bound. Raises ObjectNotFound."""
        parts = parts_of(key)
        with self._session(key) as session:
            path, size = self._root.object(session, parts)
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
            root = self._root.required(session)
            if attributes(session, root) is None:  # a root that is missing is not an empty one
                raise missing(self._config, key, root=True)
            folder = below(root, *parts[:-1])
            if attributes(session, folder) is None:
                return False
            if session.realpath(folder) != folder:
                raise StorageError(
                    f"a folder of {key!r} in {self.describe()} is a symbolic link",
                    hint="links below the root are not followed; remove it",
                )
            return attributes(session, below(folder, parts[-1])) is not None

    def delete(self, key: str) -> None:
        """Remove an object, and the folders it leaves empty. Raises ObjectNotFound."""
        parts = parts_of(key)
        with self._session(key) as session:
            path, _ = self._root.object(session, parts)
            session.remove(path)
            with suppress(Refusal):  # not empty, or not ours to remove: the object is gone all the same
                for depth in range(len(parts) - 1, 0, -1):
                    session.rmdir(below(self._root.required(session), *parts[:depth]))

    def remote_sha256(self, key: str) -> str | None:
        """The SHA-256 that the server itself computes, in hex; None where it runs no command for this login."""
        with self._session(key) as session:
            path, size = self._root.object(session, parts_of(key))
        return self._connection.sha256(path, size)

    def arrived_sha256(self, key: str) -> str | None:
        """The SHA-256 that the server computed while the object arrived, in hex; None where it did not. Told once."""
        size, follower = self._followers.pop(key, (0, None))
        if follower is None or (found := follower.sha256()) is None:
            return None
        with self._session(key) as session:
            _, stored = self._root.object(session, parts_of(key))
        return found if stored == size else None

    # --- what killed uploads leave ---

    def parts(self) -> Sequence[StoredObject]:
        """The files of unfinished uploads, and when each was last written to, by the clock of this machine.

        A file's time is by the server's clock. How far that one is from ours shows the time of a new file.
        """
        with self._session(INCOMING) as session:
            incoming = self._incoming(session)
            entries = session.entries(incoming) if incoming else ()
            names = [(name.decode(errors="surrogateescape"), one) for name, one in entries]
            found = sorted((name, one) for name, one in names if is_part(name) and one.is_file)
            behind = clock_behind(session, below(incoming, new_part())) if incoming and found else timedelta()
        return [StoredObject(name, one.size, datetime.fromtimestamp(one.modified, UTC) + behind) for name, one in found]

    def drop_part(self, key: str) -> None:
        """Remove the file of an unfinished upload. Raises StorageError for every other name."""
        require_part(key)
        with self._session(key) as session:
            if incoming := self._incoming(session):
                remove_if_there(session, below(incoming, key))

    def _incoming(self, session: Session) -> bytes | None:
        """The folder of unfinished uploads, or None before the first. Raises StorageError where it is a link."""
        there = attributes(session, below(self._root.required(session), INCOMING)) is not None
        return self._root.made(session, (INCOMING,)) if there else None

    # --- storing ---

    def _store(self, key: str, part: Part, source: Rereadable) -> None:
        """Write a part, from its beginning or behind what is proven of it, and publish it.

        The session ends with any error, so that nothing is on its way any more when the part is removed.
        """
        parts = parts_of(key)
        with self._connection.session() as session:
            with self._guarded(session, key):
                self._refuse_taken(session, parts)
            upload = self._resumed(session, key, part, source) or self._begun(session, key, part)
            follower = Follower(self._connection, part.path, upload.written)
            try:
                for chunk in source.read(upload.written):
                    with self._guarded(session, key, upload):
                        upload.write(chunk)
                    follower.reached(upload.answered)
                with self._guarded(session, key, upload):
                    upload.settle()
            finally:
                follower.end()
            with self._guarded(session, key, upload):
                upload.finish()
                self._publish(session, part, parts)
        if follower.has_begun:
            self._followers[key] = upload.written, follower

    def _begun(self, session: Session, key: str, part: Part) -> Upload:
        with self._guarded(session, key):
            path = below(self._root.made(session, (INCOMING,)), new_part())
            handle = session.create(path, FILE_MODE)
        part.path = path
        return Upload(session, handle)

    def _resumed(self, session: Session, key: str, part: Part, source: Rereadable) -> Upload | None:
        """The upload of a part that is there, or None, without the part, where nothing of it can be kept."""
        if not part.path:
            return None
        with self._guarded(session, key):
            self._root.required(session)  # the disk may be another one by now
            there = attributes(session, part.path)
            size = there.size if there and there.is_file else 0
            stored = stored_sha256(self._connection, session, part.path, size) if size else ""
        if size and agrees(source, size, stored):
            log.info("an upload goes on where it broke off", key=key, at=size)
            with self._guarded(session, key):
                return Upload(session, session.reopen(part.path), size)
        with self._guarded(session, key):
            remove_if_there(session, part.path)
        part.path = b""
        return None

    def _refuse_taken(self, session: Session, parts: Sequence[str]) -> None:
        """Raise ObjectExists before a byte moves; the link that publishes is what decides."""
        if attributes(session, below(self._root.required(session), *parts)) is not None:
            raise taken(self._config, parts)

    def _publish(self, session: Session, part: Part, parts: Sequence[str]) -> None:
        """Give a finished file its name. Raises ObjectExists where the name is taken, else Refusal."""
        for attempt in range(PUBLISH_ATTEMPTS):
            target = below(self._root.made(session, parts[:-1]), parts[-1])
            try:
                move_new(session, part.path, target)
            except Refusal as refusal:
                if attributes(session, target) is not None:
                    raise taken(self._config, parts) from None
                # A delete nearby may have pruned the folder that was just made or found.
                if refusal.code != NO_SUCH_FILE or attempt + 1 == PUBLISH_ATTEMPTS:
                    raise
            else:
                return

    def _discard(self, part: Part) -> None:
        """Remove a part that is there, over a new connection if need be; one that stays is told of."""
        if not part.path:
            return
        reason = ""
        for pause in DISCARD_PAUSES:
            time.sleep(pause)
            try:
                with self._connection.session() as session:
                    session.remove(part.path)
            except (DBackupError, Refusal) as failure:
                if isinstance(failure, Refusal) and failure.code == NO_SUCH_FILE:
                    return
                reason = str(failure)
            else:
                return
        log.warning("a part of a failed upload stays", path=part.path.decode(errors="replace"), reason=reason)

    # --- lists ---

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
                entries = sorted(session.entries(below(self._root.required(session), *parts)))
            except Refusal as refusal:
                if parts and refusal.code == NO_SUCH_FILE:  # pruned since its name was read
                    return []
                raise
        names = [(name.decode(errors="surrogateescape") + "/" * one.is_folder, one) for name, one in entries]
        return sorted(
            (one for one in names if is_storable(one[0]) and (parts or one[0].removesuffix("/") not in HIDDEN)),
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
            return missing(self._config, key, root=attributes(session, self._root.path(session)) is None)
        return refused(self._config, key, refusal, room(session, self._root.path(session)), written)
