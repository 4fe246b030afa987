"""A destination of a run: an open storage, and the name people know it by."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Semaphore

from core.ports import StorageAdapter

UPLOADS_AT_ONCE = 4  # to one destination. More make a network no wider, and servers refuse them: OpenSSH the eleventh


@dataclass(frozen=True)
class Destination:
    """An open destination; ``name`` is the saved one, or what the storage says of itself.

    An upload goes on while it holds one of the ``turns``.
    """

    name: str
    storage: StorageAdapter
    turns: Semaphore = field(default_factory=lambda: Semaphore(UPLOADS_AT_ONCE), repr=False, compare=False)
