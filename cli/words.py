"""How figures are written for people: sizes in decimal units, times in the local zone."""

from __future__ import annotations

from datetime import datetime

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


def rate(count: float, seconds: float) -> str:
    """Bytes over seconds: ``45.2 MB/s``."""
    return f"{size(count / seconds)}/s" if seconds > 0 else "?"


def share(part: int, whole: int) -> str:
    """How large a part is: ``61%``."""
    return f"{part / whole:.0%}" if whole else "?"


def duration(seconds: float) -> str:
    """A span of time: ``0.8 s``, or ``12 s`` of whole seconds, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 59.95:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(at: datetime) -> str:
    """A moment in the local time zone, which is named."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z")


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 table``, ``2,000 tables``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
