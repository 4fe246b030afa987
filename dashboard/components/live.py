"""A part of a page that draws itself anew while it is looked at.

Such a part runs without the rest of its page, so it asks again who is looking: a session may have ended meanwhile.
That does not count as use, or an open page would keep its session until the absolute end.

Such a part opens no dialog: whatever is within it is forgotten when it draws itself anew, and a button there would do
nothing any longer.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from actions.door import Identity
from dashboard import visitor
from dashboard.components import problems


def live(draw: Callable[[Identity], None], who: Identity, *, every: float | None = None) -> None:
    """Draw now as ``who``, and again as whoever has the session then: after a click in it, or every so many seconds."""

    @st.fragment(run_every=every)
    def part() -> None:
        with problems.told():
            draw(visitor.required(by_itself=every is not None))

    part()
