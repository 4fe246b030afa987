"""One explicit table for each kind of adapter."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def index(attribute: str, *adapters: type[Any]) -> Mapping[str, type[Any]]:
    """The adapters by the name each has in ``attribute``, read-only. Raises ValueError when two share one."""
    table: dict[str, type[Any]] = {}
    for adapter in adapters:
        name: str = getattr(adapter, attribute)
        if name in table:
            raise ValueError(f"{adapter.__qualname__} and {table[name].__qualname__} are both called '{name}'")
        table[name] = adapter
    return MappingProxyType(table)
