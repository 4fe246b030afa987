"""Where somebody is logged in, and the way to end that: for oneself, and for whoever manages users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import streamlit as st

from actions.door import Identity
from dashboard import visitor
from dashboard.components.figures import ago
from dashboard.components.problems import escaped
from services.accounts.sessions import LoginSession

End = Callable[[Identity, str], None]


def listed(sessions: Sequence[LoginSession], key: str, end: End | None, *, own: str | None = None) -> None:
    """Draw each session; with ``end`` there is a button to end it. ``own`` is the one that is looking."""
    if not sessions:
        st.caption("Nowhere.")
    now = datetime.now(UTC)
    for one in sessions:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            this = " :green-badge[this one]" if one.session_id == own else ""
            place = escaped(one.address or "an unknown address")
            st.markdown(f"**{escaped(browser(one.user_agent))}** from {place}{this}")
            st.caption(f"since {ago(one.created_at, now)}, used {ago(one.used_at, now)}, by {escaped(one.method)}")
            if end and one.session_id != own:
                _button(one, key, end)


def _button(one: LoginSession, key: str, end: End) -> None:
    if st.button("End it", icon=":material/logout:", key=f"{key}-{one.session_id}"):
        end(visitor.required(), one.session_id)
        st.rerun()


def browser(agent: str) -> str:
    """The browser and the system that a user agent names, as far as they are known."""
    kinds = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS"}
    systems |= {"Linux": "Linux"}
    other = agent.partition("/")[0][:40] or "A browser"
    kind = next((name for sign, name in kinds.items() if sign in agent), other)
    system = next((name for sign, name in systems.items() if sign in agent), "")
    return f"{kind} on {system}" if system else kind
