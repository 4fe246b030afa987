"""Random values that open something for whoever holds them. Only their SHA-256 is kept.

They are 256 random bits, so a fast hash is as good as a slow one, and looking one up by it takes one index.
"""

from __future__ import annotations

import hashlib
import secrets


def new(prefix: str = "") -> str:
    """A new value, to be shown once."""
    return prefix + secrets.token_urlsafe(32)


def digest(ticket: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
