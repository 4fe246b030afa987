"""How moments and signs are written on pages; sizes and spans are those of :mod:`core.words`."""

from __future__ import annotations

from datetime import UTC, datetime

from core import words
from core.states import RunState

GREEN, AMBER, RED, BLUE, GREY = "#0f9d76", "#d97706", "#d92d20", "#2e77d0", "#7c8b89"

STATE_COLORS = {
    RunState.SUCCESS: GREEN,
    RunState.PARTIAL: AMBER,
    RunState.FAILED: RED,
    RunState.CRASHED: "#9f1239",
    RunState.CANCELLED: GREY,
    RunState.RUNNING: BLUE,
    RunState.PENDING: "#93b7e8",
}
_SIGNS = {
    RunState.SUCCESS: "✓",
    RunState.PARTIAL: "!",
    RunState.RUNNING: "▸",
    RunState.PENDING: "…",
    RunState.CANCELLED: "-",
}


def state(one: RunState) -> str:
    """A state with its sign, so that it is not told by colour alone: ``✗ FAILED``."""
    return f"{_SIGNS.get(one, '✗')} {one.value}"


def ago(moment: datetime | None, now: datetime, never: str = "never") -> str:
    """How long ago, or how soon, in the unit that fits: ``12 min ago``, ``26 h ago``, ``in 9 d``."""
    if moment is None:
        return never
    seconds = (now - moment).total_seconds()
    return f"in {_span(-seconds)}" if seconds < 0 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    if seconds < 60:
        return words.duration(int(seconds))
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds // 86400:.0f} d"


def moment(at: datetime | None) -> str:
    """A moment in UTC, to the minute."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at else "-"
