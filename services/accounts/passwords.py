"""Passwords: hashed with Argon2id, and checked with the same work whether or not there is anything to check."""

from __future__ import annotations

import threading
import unicodedata
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

from core.errors import ConfigurationError

SHORTEST, LONGEST = 12, 1024  # characters; NIST SP 800-63B asks for length and against rules of composition
_AT_ONCE = threading.BoundedSemaphore(4)  # a hash takes 64 MiB, and anybody may ask for one at the login
_HASHER = PasswordHasher()  # the library's defaults are RFC 9106's second choice: 64 MiB, three passes


def hashed(password: SecretStr) -> str:
    """The hash to keep. Raises ConfigurationError for a password that is too short or absurdly long."""
    text = password.get_secret_value()
    if len(text) < SHORTEST:
        raise ConfigurationError(
            f"the password is shorter than {SHORTEST} characters", hint="a few words in a row are long and easy to keep"
        )
    if len(text) > LONGEST:
        raise ConfigurationError(f"the password is longer than {LONGEST} characters", hint="choose a shorter one")
    return _hash(text)


def is_right(kept: str | None, password: SecretStr) -> bool:
    """Whether the password has this hash. With None it is compared all the same, with one that nobody has:
    how long an answer takes does not tell whether a name exists."""
    try:
        with _AT_ONCE:
            _HASHER.verify(kept or _nobodys(), _bytes(password.get_secret_value()[: LONGEST + 1]))
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


def rehashed(password: SecretStr) -> str:
    """The hash of a password that is in use already, whatever the rules for new ones have become."""
    return _hash(password.get_secret_value())


def _hash(text: str) -> str:
    with _AT_ONCE:
        return _HASHER.hash(_bytes(text))


def _bytes(text: str) -> bytes:
    """One form for what keyboards send in several; and bytes for whatever a form was sent."""
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return _HASHER.hash("the password of nobody, whose comparison takes as long as that of somebody")
