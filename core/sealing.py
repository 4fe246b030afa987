"""System encryption: one ENCRYPTION_KEY seals the secrets that the program keeps.

A sealed value is ``sealed:v1:<key id>:<base64 of nonce and ciphertext>``, AES-256-GCM with a random 12-byte
nonce; the place it belongs to (block type and field) is authenticated with it, so a value moved elsewhere does
not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import EncryptionError, WrongKey

PREFIX = "sealed:v1:"
_SEALED = re.compile(re.escape(PREFIX) + r"[0-9a-f]{16}:[A-Za-z0-9+/]{38,}={0,2}")  # nonce and tag: 28 bytes
KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1
_HOW_TO_MAKE = 'make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'


@dataclass(frozen=True)
class EncryptionKey:
    """One key of 32 bytes; ``key_id`` tells it from others without revealing it."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> EncryptionKey:
        """Read 64 hex digits, or base64 of 32 bytes. Raises EncryptionError that never shows the text."""
        for decode in (bytes.fromhex, lambda value: base64.b64decode(value, validate=True)):
            try:
                key = decode(text.strip())
            except (ValueError, binascii.Error):
                continue
            if len(key) == KEY_BYTES:
                return cls(key)
        raise EncryptionError("the ENCRYPTION_KEY is not 64 hex digits nor 32 bytes in base64", hint=_HOW_TO_MAKE)

    @classmethod
    def generate(cls) -> EncryptionKey:
        """A new random key."""
        return cls(os.urandom(KEY_BYTES))

    @property
    def key_id(self) -> str:
        """16 hex digits that name the key."""
        return hmac.digest(self.key, b"dbackup/v1/encryption-key-id", hashlib.sha256)[:8].hex()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for another purpose, from which this key cannot be found (HKDF-SHA256)."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(self.key)


@dataclass(frozen=True)
class EncryptionKeys:
    """The keys of a system: the first seals, all of them open."""

    keys: tuple[EncryptionKey, ...]

    @classmethod
    def parse(cls, text: str) -> EncryptionKeys:
        """Read keys separated by commas or lines. Raises EncryptionError when there is none or one is malformed."""
        parts = [part for part in text.replace(",", "\n").split("\n") if part.strip()]
        if not parts:
            raise EncryptionError("the ENCRYPTION_KEY is empty", hint=_HOW_TO_MAKE)
        return cls(tuple(EncryptionKey.parse(part) for part in parts))

    @property
    def current(self) -> EncryptionKey:
        """The key that seals."""
        return self.keys[0]

    def seal(self, plaintext: str, place: str) -> str:
        """Seal a value for one place."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.current.key).encrypt(nonce, plaintext.encode(), place.encode())
        return f"{PREFIX}{self.current.key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def is_current(self, sealed: str) -> bool:
        """Whether a sealed value was sealed with the key that seals now."""
        return sealed.removeprefix(PREFIX).partition(":")[0] == self.current.key_id

    def unseal(self, sealed: str, place: str) -> str:
        """Open a sealed value. Raises WrongKey for a key that is not here, EncryptionError for a damaged value."""
        key_id, _, body = sealed.removeprefix(PREFIX).partition(":")
        key = next((key for key in self.keys if key.key_id == key_id), None)
        if key is None:
            raise WrongKey(
                f"{place} was sealed with the ENCRYPTION_KEY {key_id}, but this system has "
                f"{', '.join(key.key_id for key in self.keys)}",
                hint="set DBACKUP_ENCRYPTION_KEY to the key it was sealed with; several may be given, comma-separated",
            )
        try:
            data = base64.b64decode(body, validate=True)
            return AESGCM(key.key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise EncryptionError(
                f"the sealed value of {place} is damaged or was moved from another place", hint="save it again"
            ) from None


def is_sealed(text: str) -> bool:
    """Whether a text has the whole form of a sealed value; what only begins like one has not."""
    return _SEALED.fullmatch(text) is not None
