"""Whether a storage works, proven by doing it."""

from __future__ import annotations

import secrets

from core.errors import StorageError
from core.ports import StorageAdapter


def write_read_delete(storage: StorageAdapter, hint: str) -> None:
    """Write a small object, read it back and delete it. Raises StorageError, with the hint where the bytes differ."""
    key, written = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
    storage.put(key, [written])
    try:
        read = b"".join(bytes(chunk) for chunk in storage.get(key))
    finally:
        storage.delete(key)
    if read != written:
        raise StorageError(f"{storage.describe()} gave back other bytes than were written", hint=hint)
