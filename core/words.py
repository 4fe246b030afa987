"""How figures are written for people, wherever they are read: sizes in decimal units, spans of time."""

from __future__ import annotations

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """A number of bytes: ``812 B``, ``1.3 kB``, ``25.1 MB``."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in _UNITS:
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count:,.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """A span of time: ``0.8 s``, or ``12 s`` of whole seconds, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 59.95:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 table``, ``2,000 tables``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
