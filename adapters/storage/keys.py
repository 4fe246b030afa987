"""What a key may look like, whatever the storage.

A key is relative and its parts are separated by ``/``. No part is empty, ``.`` or ``..``, so a key never leaves
the storage's root; the first part is neither the hidden folder of unfinished uploads nor a storage's mark.
"""

from __future__ import annotations

import re
import secrets

from core.errors import StorageError

INCOMING = ".incoming"  # unfinished objects lie here, below the root; never listed, never read through a key
MARK = ".dbackup"  # a file in the root of a saved storage, by which the right disk is known; hidden likewise
HIDDEN = (INCOMING, MARK)
MARK_TEXT = b"A destination of dbackup. Without this file it is taken for a mount point whose disk is missing.\n"
_PART = re.compile(r"upload-[0-9a-f]{16}\.part")


def new_part() -> str:
    """A new name for an unfinished object in :data:`INCOMING`."""
    return f"upload-{secrets.token_hex(8)}.part"


def is_part(name: str) -> bool:
    """Whether this could have come from :func:`new_part`."""
    return _PART.fullmatch(name) is not None


def require_part(name: str) -> None:
    """Raise StorageError for a name that is not one of an unfinished object."""
    if not is_part(name):
        raise StorageError(f"{name!r} is not the name of an unfinished upload", hint="only these can be dropped")


def parts_of(key: str) -> tuple[str, ...]:
    """The parts of a valid key. Raises StorageError for every other string."""
    parts = tuple(key.split("/"))
    if not is_storable(key) or parts[0] in HIDDEN or any(part in ("", ".", "..") for part in parts):
        raise StorageError(
            f"{key!r} is not a key",
            hint="keys are relative, without empty parts, '.', '..' or control bytes that no storage can hold",
        )
    return parts


def is_storable(key: str) -> bool:
    """Whether the key can be written as UTF-8 and holds no zero byte, which no file system takes."""
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in key
