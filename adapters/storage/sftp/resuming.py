"""How much of an upload that was cut may be kept: what is proven to be the source's, or nothing.

What the server says of a file's size proves nothing: a server may have written later bytes before earlier ones, or
lost some. So the beginning that is there is hashed, by the server or from what is read back, and so is the source's.
Where the two differ, the upload begins anew.

The session that broke may have writes that the server has not carried out yet. They do no harm: they put the same bytes
of the same source into the same places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.storage.sftp.connection import Connection
from adapters.storage.sftp.protocol import Session
from adapters.storage.sftp.transfer import download
from core.ports import Rereadable
from core.streams import Chunk, Chunks, Digest


@dataclass
class Part:
    """The hidden file that an upload writes, once it is there."""

    path: bytes = b""


@dataclass(frozen=True)
class Once:
    """Chunks that can be drawn once, for an upload that is never continued."""

    chunks: Chunks

    def read(self, start: int = 0) -> Chunks:
        """All of them."""
        return self.chunks


def stored_sha256(connection: Connection, session: Session, path: bytes, size: int) -> str:
    """The SHA-256 of a file's first ``size`` bytes as they lie on the server. Raises Refusal or ConnectionError."""
    if (told := connection.sha256(path, size, beginning=True)) is not None:
        return told
    found, handle = hashlib.sha256(), session.open(path)
    for chunk in download(session, handle, 0, size):
        found.update(chunk)
    session.close_handle(handle)
    return found.hexdigest()


def agrees(source: Rereadable, size: int, stored: str) -> bool:
    """Whether the source's first ``size`` bytes have this SHA-256."""
    digest = Digest()
    for _ in digest(_beginning(source.read(), size)):
        pass
    return digest.sha256 == stored


def _beginning(chunks: Chunks, size: int) -> Iterator[Chunk]:
    for chunk in chunks:
        yield memoryview(chunk)[:size]
        size -= len(chunk)
        if size <= 0:
            return
