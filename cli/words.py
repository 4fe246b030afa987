"""How figures are written on the terminal: what :mod:`core.words` has, and rates, shares and local times."""

from __future__ import annotations

from datetime import datetime

from core.words import count, duration, size

__all__ = ["count", "duration", "moment", "rate", "share", "size"]


def rate(count: float, seconds: float) -> str:
    """Bytes over seconds: ``45.2 MB/s``."""
    return f"{size(count / seconds)}/s" if seconds > 0 else "?"


def share(part: int, whole: int) -> str:
    """How large a part is: ``61%``."""
    return f"{part / whole:.0%}" if whole else "?"


def moment(at: datetime) -> str:
    """A moment in the local time zone, which is named."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z")
