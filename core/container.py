"""The encrypted object: a readable header, then chunks sealed one by one with AES-256-GCM.

The rules of the format stand in ``docs/format.md``. A chunk leaves here only after its tag has been verified, and the
last chunk is sealed as the last, so an object cannot be cut, extended or rearranged unnoticed. Buffers are reused:
three of a chunk's size, whatever the size of the object.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.compression import Algorithm
from core.diagnosis import ANOTHER_COPY, TAG_SIZE, Failure, diagnose
from core.errors import DamagedHeader, EncryptionError, TruncatedObject, UnsupportedFormat, WrongKey
from core.streams import CHUNK_SIZE, Chunk, Chunks, Stage

MAGIC = b"DBACKUP\x01"
AEAD = "AES-256-GCM"
KEY_SIZE = 32
SALT_SIZE = 32
MAX_HEADER = 65536
READABLE_CHUNKS = range(1 << 10, (16 << 20) + 1)  # bytes; what a reader accepts, so that a header cannot take memory


@dataclass(frozen=True)
class ProfileKey:
    """The 32 random bytes of an encryption profile. Raises EncryptionError for any other length."""

    profile: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise EncryptionError(
                f"the key of profile {self.profile!r} has {len(self.key)} bytes instead of {KEY_SIZE}",
                hint="import the key again from the profile's recovery kit",
            )

    @classmethod
    def generate(cls, profile: str) -> ProfileKey:
        """A new random key for this profile."""
        return cls(profile, secrets.token_bytes(KEY_SIZE))

    @property
    def key_id(self) -> str:
        """Sixteen hex digits that name the key without giving it away."""
        return hmac.new(self.key, b"dbackup/v1/key-id", hashlib.sha256).digest()[:8].hex()

    def derive(self, salt: bytes, info: bytes) -> bytes:
        """Thirty-two bytes for one purpose, by HKDF-SHA256."""
        return HKDF(hashes.SHA256(), length=KEY_SIZE, salt=salt, info=info).derive(self.key)


Keyring = Mapping[str, ProfileKey]  # by key id


@dataclass(frozen=True)
class Header:
    """What an encrypted object says of itself in clear. ``chunk`` is in bytes of plaintext."""

    key_id: str
    profile: str
    compression: Algorithm
    salt: bytes
    chunk: int = CHUNK_SIZE

    def to_bytes(self) -> bytes:
        """The canonical JSON of the header."""
        fields = {
            "aead": AEAD,
            "chunk": self.chunk,
            "compression": self.compression.value,
            "key_id": self.key_id,
            "profile": self.profile,
            "salt": base64.b64encode(self.salt).decode(),
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Read a header. Raises UnsupportedFormat for what this program cannot open, else DamagedHeader."""
        try:
            fields = json.loads(data)
            _refuse_unknown(fields)
            return cls(
                key_id=_text(fields["key_id"]),
                profile=_text(fields["profile"]),
                compression=Algorithm(fields["compression"]),
                salt=_salt(fields["salt"]),
                chunk=fields["chunk"],
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DamagedHeader("the header of the encrypted object cannot be read", hint=ANOTHER_COPY) from None


def read_header(chunks: Chunks) -> Header:
    """The header of an encrypted object, from its first chunks. Raises as :func:`unseal` does before it decrypts."""
    return Header.parse(_header_bytes(_Source(chunks)))


def seal(key: ProfileKey, algorithm: Algorithm, *, salt: bytes | None = None, chunk_size: int = CHUNK_SIZE) -> Stage:
    """A stage that encrypts what ``algorithm`` compressed. Takes chunks of any size.

    Every object needs a salt of its own, 32 random bytes; one is drawn for each run of the stage unless given.
    """

    def stage(chunks: Chunks) -> Iterator[Chunk]:
        own_salt = secrets.token_bytes(SALT_SIZE) if salt is None else salt
        header = Header(key.key_id, key.profile, algorithm, own_salt, chunk_size).to_bytes()
        yield MAGIC + len(header).to_bytes(4, "big") + header
        yield from _sealed(chunks, _cipher(key, header, own_salt), chunk_size)

    return stage


def unseal(keys: Keyring) -> Stage:
    """A stage that decrypts an object with the key its header names.

    Raises UnsupportedFormat or WrongKey before anything is decrypted, and DamagedHeader, DamagedChunk,
    MisplacedChunk, TruncatedObject or TrailingData before it yields anything that is not proven genuine.
    """

    def stage(chunks: Chunks) -> Iterator[Chunk]:
        source = _Source(chunks)
        raw = _header_bytes(source)
        header = Header.parse(raw)
        cipher = _cipher(_choose(keys, header), raw, header.salt)
        yield from _opened(source, cipher, header.chunk, len(MAGIC) + 4 + len(raw))

    return stage


class _Source:
    """Takes exact amounts from chunks of any size."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def fill(self, target: memoryview) -> int:
        """Copy the next bytes into ``target``; gives how many, fewer than it holds only at the end."""
        filled = 0
        while filled < len(target):
            if not self._rest:
                following = next(self._chunks, None)
                if following is None:
                    break
                self._rest = memoryview(following)
            taken = min(len(target) - filled, len(self._rest))
            target[filled : filled + taken] = self._rest[:taken]
            self._rest = self._rest[taken:]
            filled += taken
        return filled

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        target = bytearray(size)
        return bytes(target[: self.fill(memoryview(target))])


def _header_bytes(source: _Source) -> bytes:
    magic = source.take(len(MAGIC))
    if not MAGIC.startswith(magic):
        raise UnsupportedFormat(_not_ours(magic), hint="check that this is the right file, or use a newer version")
    prefix = source.take(4)
    size = int.from_bytes(prefix, "big")
    if size > MAX_HEADER:
        raise UnsupportedFormat(f"the header claims {size} bytes, more than {MAX_HEADER}", hint=ANOTHER_COPY)
    header = source.take(size)
    if len(prefix) < 4 or len(header) < size:
        raise TruncatedObject("the encrypted object ends within its header", hint=ANOTHER_COPY)
    return header


def _not_ours(magic: bytes) -> str:
    if magic[:-1] == MAGIC[:-1]:
        return f"the encrypted object has format version {magic[-1]}, this program reads version {MAGIC[-1]}"
    return "this is not an encrypted object of DBackup"


def _refuse_unknown(fields: dict[str, Any]) -> None:
    """A header may hold more fields than this program knows, but these must be of a kind it can open."""
    if fields["aead"] != AEAD:
        raise UnsupportedFormat(f"the cipher {fields['aead']!r} is not known", hint="use a newer version")
    if fields["compression"] not in list(Algorithm):
        raise UnsupportedFormat(f"the compression {fields['compression']!r} is not known", hint="use a newer version")
    if type(fields["chunk"]) is not int or fields["chunk"] not in READABLE_CHUNKS:
        raise UnsupportedFormat(f"chunks of {fields['chunk']!r} bytes are not supported", hint=ANOTHER_COPY)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _salt(value: object) -> bytes:
    salt = base64.b64decode(_text(value), validate=True)
    if len(salt) != SALT_SIZE:
        raise ValueError("wrong length")
    return salt


def _choose(keys: Keyring, header: Header) -> ProfileKey:
    if header.key_id in keys:
        return keys[header.key_id]
    raise WrongKey(
        f"the object was sealed with key {header.key_id} of profile {header.profile!r}, which is not available",
        hint="import that key from the profile's recovery kit",
    )


def _cipher(key: ProfileKey, header: bytes, salt: bytes) -> AESGCM:
    return AESGCM(key.derive(salt, b"dbackup/v1/file" + hashlib.sha256(header).digest()))


def _nonce(index: int, final: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if final else b"\x00")


def _sealed(chunks: Chunks, cipher: AESGCM, size: int) -> Iterator[Chunk]:
    plain, sealed = memoryview(bytearray(size)), memoryview(bytearray(size + TAG_SIZE))
    index = filled = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            if filled == size:  # something follows, so this is not the final chunk
                cipher.encrypt_into(_nonce(index, final=False), plain, None, sealed)
                yield sealed.toreadonly()
                index, filled = index + 1, 0
            taken = min(size - filled, len(view))
            plain[filled : filled + taken] = view[:taken]
            filled, view = filled + taken, view[taken:]
    cipher.encrypt_into(_nonce(index, final=True), plain[:filled], None, sealed[: filled + TAG_SIZE])
    yield sealed[: filled + TAG_SIZE].toreadonly()


def _opened(source: _Source, cipher: AESGCM, size: int, offset: int) -> Iterator[Chunk]:
    """Decrypt one sealed chunk ahead of the data: the chunk that nothing follows must be the final one."""
    plain = memoryview(bytearray(size))

    def opens(index: int, final: bool, sealed: memoryview) -> bool:
        try:
            cipher.decrypt_into(_nonce(index, final), sealed, None, plain[: max(0, len(sealed) - TAG_SIZE)])
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag
            return False
        return True

    current, ahead = (memoryview(bytearray(size + TAG_SIZE)) for _ in range(2))
    held, index = source.fill(current), 0
    if not held:
        raise TruncatedObject("the encrypted object ends after its header", hint=ANOTHER_COPY)
    while held:
        following = source.fill(ahead)
        if not opens(index, not following, current[:held]):
            raise diagnose(Failure(index, offset, current[:held], ahead[:following], size + TAG_SIZE, opens))
        yield plain[: held - TAG_SIZE].toreadonly()
        index, offset = index + 1, offset + held
        current, ahead, held = ahead, current, following
