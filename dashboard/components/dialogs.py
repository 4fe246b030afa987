"""A dialog: a part of a page that runs without the rest of it, so it asks again who is looking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from actions.door import Identity
from dashboard import visitor
from dashboard.components import problems
from dashboard.components.problems import escaped


def dialog(title: str, draw: Callable[[Identity], None], *, width: Literal["small", "medium", "large"]) -> None:
    """Open a dialog now, in which ``draw`` draws as whoever has the session at that moment. A failure stays in it."""

    @st.dialog(title, width=width)
    def part() -> None:
        with problems.told():
            draw(visitor.required())

    part()


def confirm(question: str, does: str, act: Callable[[Identity], None], *, button: str) -> None:
    """Ask before something is done that cannot be undone; ``does`` says what happens. Afterwards the page is new."""

    def draw(who: Identity) -> None:
        st.markdown(escaped(does))
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Leave it", type="tertiary"):
                st.rerun()
            sure = st.button(button, type="primary", icon=":material/warning:")
        if sure:
            with problems.told():
                act(who)
                st.rerun()

    dialog(question, draw, width="small")
