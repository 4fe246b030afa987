"""Secrets that this process knows, so that no text it writes can show one.

The last line of defence: code does not put secrets into messages in the first place, but the text of a client
tool or of a library is not ours. What is opened is remembered here; every log line and every error passes
through :func:`mask`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pydantic import BaseModel

MASK = "****"
_SHORTEST = 4  # masking shorter values would blot out ordinary words
_PASSWORD_IN_URL = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s@]+@", re.IGNORECASE)
_known: set[str] = set()


def remember(secret: str) -> None:
    """From now on, :func:`mask` hides this value."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)


def remember_secrets(config: BaseModel) -> None:
    """Remember every value that a configuration itself declares secret, also as it would stand in a URL."""
    from pydantic import SecretStr  # here: whoever only reports an error does not wait for it

    for _, value in config:
        if isinstance(value, SecretStr):
            remember(value.get_secret_value())
            remember(quote(value.get_secret_value(), safe=""))


def mask(text: str) -> str:
    """The text without any remembered secret and without passwords in URLs."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _PASSWORD_IN_URL.sub(rf"\g<head>{MASK}@", text)
