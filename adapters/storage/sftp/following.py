"""The server hashes a file while it arrives, so that no long upload is followed by a second wait, for its proof.

Beside the upload a command reads from the file what the server has answered for, a few MiB at a time, and at the end
all that is left. It sees the file as any later reader does, only sooner.
"""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from paramiko import SSHException

from adapters.storage.sftp.connection import Connection
from core.errors import DBackupError

FOLLOWED_FROM = 32 << 20  # bytes; what is smaller is hashed in a moment when it is there
STEP = 8 << 20  # bytes between two words to the command
FAST = 60 << 20  # bytes a second; above, the proof is short beside the upload, and the server busy enough
BLOCK = 1 << 20  # bytes

# Each line of its input says how many more blocks are there; when the input ends, the file is whole. dd takes exactly
# what it is told from the open file, on every system; head may take more.
FOLLOW = (
    f'exec 3<"$1" && {{ while read -r n; do dd bs={BLOCK} count="$n" <&3; done; cat <&3; }} 2>/dev/null | sha256sum'
)


class Follower:
    """Follows one upload, in a thread of its own: a server that cannot do this, or not now, keeps no upload waiting.

    ``start`` is what the file holds already, in bytes.
    """

    def __init__(self, connection: Connection, path: bytes, start: int) -> None:
        self._connection = connection
        self._command = shlex.join(("sh", "-c", FOLLOW, "sh", path.decode()))
        self._thread: Thread | None = None
        self._sizes: SimpleQueue[int | None] = SimpleQueue()  # None: no byte will be added
        self._reached = self._start = start
        self._began = time.monotonic()
        self._sha256: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the upload was long enough to be followed."""
        return self._thread is not None

    def reached(self, size: int) -> None:
        """The first ``size`` bytes are in the file."""
        if size < (self._reached + STEP if self._thread else FOLLOWED_FROM):
            return
        if self._thread is None:
            if (size - self._start) / (time.monotonic() - self._began) > FAST:
                return
            self._thread = Thread(target=self._follow, name="follow an upload", daemon=True)
            self._thread.start()
        self._reached = size
        self._sizes.put(size)

    def end(self) -> None:
        """No byte will be added: the file is whole, or its upload has failed."""
        self._sizes.put(None)

    def sha256(self) -> str | None:
        """What the server says of the whole file, in hex, as soon as it says it; None where it does not."""
        if self._thread is not None:
            self._thread.join()
        return self._sha256

    def _follow(self) -> None:
        if not self._connection.following.acquire(blocking=False):  # a server has few channels for all uploads
            return
        try:
            with suppress(DBackupError, EOFError, OSError, SSHException):
                self._sha256 = self._followed()
        finally:
            self._connection.following.release()

    def _followed(self) -> str | None:
        followed = 0  # bytes
        with self._connection.command(self._command) as channel:
            while (size := self._sizes.get()) is not None:
                blocks = (size - followed) // BLOCK
                channel.sendall(b"%d\n" % blocks)
                followed += blocks * BLOCK
            return self._connection.told_sha256(channel, followed)
