"""A destination of a run: an open storage, and the name people know it by."""

from __future__ import annotations

from dataclasses import dataclass

from core.ports import StorageAdapter


@dataclass(frozen=True)
class Destination:
    """An open destination; ``name`` is the saved one, or what the storage says of itself."""

    name: str
    storage: StorageAdapter
