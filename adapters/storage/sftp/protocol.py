"""Version 3 of the SSH file transfer protocol over one channel: packets out, packets in, matched by their number.

paramiko carries the channel. Its own SFTP client is not used: it drops the errors of pipelined writes, has no limit to
what it reads ahead, and knows neither hard links nor fsync nor statvfs. Paths are bytes, as a server has them. What the
server refuses is a :class:`Refusal`; what the channel does is raised as it comes.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from paramiko import SSHException

VERSION = 3
INIT, VERSION_REPLY, OPEN, CLOSE, READ, WRITE, LSTAT = 1, 2, 3, 4, 5, 6, 7
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, RENAME = 11, 12, 13, 14, 15, 16, 18
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, UNSUPPORTED = 0, 1, 2, 3, 4, 8
FOR_READING, FOR_WRITING, FOR_A_NEW_FILE = 0x01, 0x02, 0x02 | 0x08 | 0x20  # read; write; write, create, exclusive
SIZE, OWNER, PERMISSIONS, TIMES, MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000
HARDLINK, FSYNC = b"hardlink@openssh.com", b"fsync@openssh.com"
STATVFS, LIMITS = b"statvfs@openssh.com", b"limits@openssh.com"

LARGEST_PACKET = 1 << 20  # bytes; a longer one is not of this protocol
EVERY_SERVER = 32 << 10  # bytes in one read or write that every server takes
LARGEST_REQUEST = 255 << 10  # bytes; what OpenSSH takes
ONE_PACKET = (32 << 10) - 64  # bytes that paramiko sends in one packet to OpenSSH, and to most others
ALL_THERE_IS = 64 << 20  # bytes asked of the channel at once: a channel never holds so much, and moves what it keeps


class Channel(Protocol):
    """What of paramiko's channel is used."""

    def sendall(self, s: bytes, /) -> None: ...

    def recv(self, nbytes: int, /) -> bytes: ...

    def close(self) -> None: ...


class Refusal(Exception):
    """The server answered with a status other than OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Garbled(Exception):
    """What came is not this protocol: no SFTP server answers here, or a program of the login shell talks first."""


@dataclass(frozen=True)
class Attributes:
    """What a server says of a file. ``modified`` is in seconds since 1970; 0 where the server does not say."""

    size: int = 0
    mode: int = 0
    modified: int = 0

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Space:
    """What a server says of a file system: bytes that this user may still write, and whether it is read-only."""

    free: int
    read_only: bool


class _Reader:
    """One packet's body, taken apart from the front. Raises Garbled where it is too short."""

    def __init__(self, body: memoryview) -> None:
        self._body, self._at = body, 1  # behind the packet's kind

    def number(self, form: str = ">I") -> int:
        try:
            (value,) = struct.unpack_from(form, self._body, self._at)
        except struct.error:
            raise Garbled("a packet ends too early") from None
        self._at += struct.calcsize(form)
        return int(value)

    def string(self) -> bytes:
        size = self.number()
        self._at += size
        if self._at > len(self._body):
            raise Garbled("a packet ends too early")
        return bytes(self._body[self._at - size : self._at])

    def data(self) -> memoryview:
        size = self.number()
        return self._body[self._at : self._at + size]

    def left(self) -> bool:
        return self._at < len(self._body)

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.number(">Q") if flags & SIZE else 0
        if flags & OWNER:
            self.number(">Q")
        mode = self.number() if flags & PERMISSIONS else 0
        modified = self.number(">Q") & 0xFFFFFFFF if flags & TIMES else 0
        if flags & MORE:
            for _ in range(self.number()):
                self.string(), self.string()
        return Attributes(size, mode, modified)


class Session:
    """One conversation. Not for several threads at once; after an error of the channel it is of no more use."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._received = memoryview(b"")  # and not taken yet
        self._next = 0
        self._early: dict[int, tuple[int, _Reader]] = {}
        self.extensions = self._greet()
        self.largest_read, self.largest_write = self._limits()

    def close(self) -> None:
        """End the conversation, whatever state it is in. Safe to call twice."""
        with suppress(EOFError, OSError, SSHException):  # the connection is gone already
            self._channel.close()

    # --- folders and names ---

    def realpath(self, path: bytes) -> bytes:
        """The server's own absolute name of a path."""
        reply = self._reply(self.ask(REALPATH, _string(path)), NAME)
        if reply.number() != 1:
            raise Garbled("a path has no one name")
        return reply.string()

    def lstat(self, path: bytes) -> Attributes:
        """What lies there, a symbolic link as itself."""
        return self._reply(self.ask(LSTAT, _string(path)), ATTRS).attributes()

    def mkdir(self, path: bytes, mode: int) -> None:
        self._done(self.ask(MKDIR, _string(path) + struct.pack(">II", PERMISSIONS, mode)))

    def rmdir(self, path: bytes) -> None:
        self._done(self.ask(RMDIR, _string(path)))

    def remove(self, path: bytes) -> None:
        self._done(self.ask(REMOVE, _string(path)))

    def rename(self, old: bytes, new: bytes) -> None:
        """The protocol's own rename, which fails where something has the new name."""
        self._done(self.ask(RENAME, _string(old) + _string(new)))

    def hardlink(self, old: bytes, new: bytes) -> None:
        self._done(self.ask(EXTENDED, _string(HARDLINK) + _string(old) + _string(new)))

    def entries(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """Names and attributes in a folder, without ``.`` and ``..``."""
        handle = self._handle(self.ask(OPENDIR, _string(path)))
        while True:
            try:
                reply = self._reply(self.ask(READDIR, _string(handle)), NAME)
            except Refusal as refusal:
                self.close_handle(handle)
                if refusal.code != EOF:
                    raise
                return
            for _ in range(reply.number()):
                name, _, attributes = reply.string(), reply.string(), reply.attributes()
                if name not in (b".", b".."):
                    yield name, attributes

    def space(self, path: bytes) -> Space | None:
        """The file system's room, or None where the server does not say."""
        if STATVFS not in self.extensions:
            return None
        reply = self._reply(self.ask(EXTENDED, _string(STATVFS) + _string(path)), EXTENDED_REPLY)
        values = [reply.number(">Q") for _ in range(10)]
        return Space(free=values[1] * values[4], read_only=bool(values[9] & 1))

    # --- files ---

    def create(self, path: bytes, mode: int) -> bytes:
        """A handle to write a file that did not exist."""
        return self._handle(self.ask(OPEN, _string(path) + struct.pack(">III", FOR_A_NEW_FILE, PERMISSIONS, mode)))

    def open(self, path: bytes) -> bytes:
        """A handle to read a file."""
        return self._handle(self.ask(OPEN, _string(path) + struct.pack(">II", FOR_READING, 0)))

    def reopen(self, path: bytes) -> bytes:
        """A handle to write on in a file that is there, which stays as long as it is."""
        return self._handle(self.ask(OPEN, _string(path) + struct.pack(">II", FOR_WRITING, 0)))

    def close_handle(self, handle: bytes) -> None:
        self._done(self.ask(CLOSE, _string(handle)))

    def sync(self, handle: bytes) -> None:
        """Make what was written durable, where the server can."""
        if FSYNC in self.extensions:
            self._done(self.ask(EXTENDED, _string(FSYNC) + _string(handle)))

    def ask_to_write(self, handle: bytes, offset: int, data: memoryview) -> list[tuple[int, int]]:
        """Send writes without waiting: as few and as equal as may be. Their numbers, for :meth:`written`, and sizes."""
        if not data:
            return []
        writes = -(-len(data) // self.largest_write)
        size = -(-len(data) // writes)
        asked, parts = list[tuple[int, int]](), list[memoryview]()
        for start in range(0, len(data), size):
            part = data[start : start + size]
            head = _string(handle) + struct.pack(">QI", offset + start, len(part))
            number, request = self._request(WRITE, head, len(part))
            asked.append((number, len(part)))
            parts += (memoryview(request), part)
        self._send(parts)
        return asked

    def written(self, number: int) -> None:
        """Wait for the answer to a write. Raises Refusal."""
        self._done(number)

    def ask_to_read(self, handle: bytes, parts: Sequence[tuple[int, int]]) -> list[int]:
        """Send reads of these offsets and sizes in one go without waiting; their numbers are for :meth:`read`."""
        requests = [self._request(READ, _string(handle) + struct.pack(">QI", *part)) for part in parts]
        self._channel.sendall(b"".join(request for _, request in requests))
        return [number for number, _ in requests]

    def read(self, number: int) -> memoryview:
        """Wait for the answer to a read: at least one byte; none at the file's end. Raises Refusal."""
        try:
            return self._reply(number, DATA).data()
        except Refusal as refusal:
            if refusal.code != EOF:
                raise
            return memoryview(b"")

    # --- packets ---

    def ask(self, kind: int, body: bytes) -> int:
        """Send a request and give its number."""
        number, request = self._request(kind, body)
        self._channel.sendall(request)
        return number

    def _send(self, parts: Sequence[memoryview]) -> None:
        """Send what follows each other, a full packet at a time.

        Of more than a packet, paramiko copies all that is left for each one; each that is not full costs as much as one
        that is.
        """
        packet, room = list[memoryview](), ONE_PACKET
        for part in parts:
            rest = part
            while len(rest) >= room:
                self._channel.sendall(b"".join((*packet, rest[:room])))
                rest, packet, room = rest[room:], [], ONE_PACKET
            packet.append(rest)
            room -= len(rest)
        self._channel.sendall(b"".join(packet))

    def _request(self, kind: int, body: bytes, following: int = 0) -> tuple[int, bytes]:
        """A new number, and the packet that has it, up to ``following`` bytes of data."""
        self._next = (self._next + 1) & 0xFFFFFFFF
        return self._next, struct.pack(">IBI", len(body) + 5 + following, kind, self._next) + body

    def _reply(self, number: int, kind: int) -> _Reader:
        found, reply = self._answer(number)
        if found == STATUS:
            raise _refusal(reply)
        if found != kind:
            raise Garbled(f"an answer of kind {found} came where {kind} was due")
        return reply

    def _done(self, number: int) -> None:
        found, reply = self._answer(number)
        if found != STATUS:
            raise Garbled(f"an answer of kind {found} came where a status was due")
        refusal = _refusal(reply)
        if refusal.code != OK:
            raise refusal

    def _handle(self, number: int) -> bytes:
        return self._reply(number, HANDLE).string()

    def _answer(self, number: int) -> tuple[int, _Reader]:
        """Take packets until the one of this number; those that come early are kept, as many as were asked for."""
        while number not in self._early:
            kind, reply = self._packet()
            self._early[reply.number()] = (kind, reply)
        return self._early.pop(number)

    def _packet(self) -> tuple[int, _Reader]:
        (size,) = struct.unpack(">I", self._take(4))
        if not 1 <= size <= LARGEST_PACKET:
            raise Garbled("this is not an answer of an SFTP server")
        body = self._take(size)
        return body[0], _Reader(body)

    def _take(self, size: int) -> memoryview:
        """The next bytes. Only those that lie across two receptions are copied."""
        parts = [self._received[:size]] if self._received else []
        missing = size - len(self._received)
        self._received = self._received[size:]
        while missing > 0:
            came = memoryview(self._channel.recv(ALL_THERE_IS))
            if not came:
                raise EOFError("the server closed the channel")
            parts.append(came[:missing])
            self._received = came[missing:]
            missing -= len(came)
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def _greet(self) -> dict[bytes, bytes]:
        with suppress(OSError):  # who has hung up already may have said why: a shell that prints something and ends
            self._channel.sendall(struct.pack(">IBI", 5, INIT, VERSION))
        kind, reply = self._packet()
        if kind != VERSION_REPLY:
            raise Garbled("this is not an answer of an SFTP server")
        reply.number()
        extensions = {}
        while reply.left():
            name = reply.string()
            extensions[name] = reply.string()
        return extensions

    def _limits(self) -> tuple[int, int]:
        """How many bytes one read and one write may have."""
        if LIMITS not in self.extensions:
            return EVERY_SERVER, EVERY_SERVER
        reply = self._reply(self.ask(EXTENDED, _string(LIMITS)), EXTENDED_REPLY)
        _, read, write = (reply.number(">Q") for _ in range(3))
        return min(read or EVERY_SERVER, LARGEST_REQUEST), min(write or EVERY_SERVER, LARGEST_REQUEST)


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _refusal(reply: _Reader) -> Refusal:
    code = reply.number()
    return Refusal(code, reply.string().decode(errors="replace") if reply.left() else f"status {code}")
