"""What an engine says of the client programs it needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """One program: whether it is there, which one it is, and, when it is missing, what to do."""

    found: bool
    fact: str
    advice: str = ""
