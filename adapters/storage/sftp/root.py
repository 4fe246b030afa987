"""The folder of the server that everything lies below."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.storage.keys import MARK
from adapters.storage.sftp.config import SFTPConfig
from adapters.storage.sftp.errors import not_marked
from adapters.storage.sftp.folders import attributes, below, make
from adapters.storage.sftp.protocol import Session
from core.errors import ObjectNotFound, StorageError


class Root:
    """Finds the folder, once it exists, and what is below it."""

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self._found: bytes | None = None

    def required(self, session: Session) -> bytes:
        """The root's path, looked at for its mark. Raises StorageError without one, or Refusal."""
        root = self.path(session)
        if self._config.marked and attributes(session, below(root, MARK)) is None:
            raise not_marked(self._config, there=attributes(session, root) is not None)
        return root

    def path(self, session: Session) -> bytes:
        """The root's path, marked or not, without links once it exists. Raises Refusal."""
        if self._found is not None:
            return self._found
        path = self._config.path.encode()
        if not path.startswith(b"/"):
            path = below(session.realpath(b"."), self._config.path)
        if attributes(session, path) is None:
            return path
        self._found = session.realpath(path)
        return self._found

    def made(self, session: Session, parts: Sequence[str]) -> bytes:
        """A folder below the root, made with those above it where it is missing. Raises StorageError or Refusal."""
        root = self.required(session)
        if not self._config.marked:
            make(session, root)
        for depth in range(1, len(parts) + 1):
            path = below(root, *parts[:depth])
            if not make(session, path):
                raise StorageError(
                    f"{'/'.join(parts[:depth])!r} in {self._config.shown} is no folder",
                    hint="it is a file or a symbolic link; links below the root are not followed",
                )
        return below(root, *parts)

    def object(self, session: Session, parts: Sequence[str]) -> tuple[bytes, int]:
        """The path and size of an object, on a way without links. Raises ObjectNotFound or Refusal."""
        folder = below(self.required(session), *parts[:-1])
        path = below(folder, parts[-1])
        found = session.lstat(path)
        if not found.is_file or (len(parts) > 1 and session.realpath(folder) != folder):
            raise ObjectNotFound(f"{'/'.join(parts)!r} in {self._config.shown} is no object but a folder or a link")
        return path, found.size
