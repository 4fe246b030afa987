"""Who is looking at a page: the identity behind the session cookie. Tests replace :func:`current`."""

from __future__ import annotations

import streamlit as st

from actions import sessions
from actions.door import Identity
from core.errors import AuthenticationError
from dashboard.guard import COOKIE


def current() -> Identity:
    """Whoever has this session. Raises AuthenticationError when it has ended."""
    return sessions.identify(st.context.cookies.get(COOKIE, ""), st.context.ip_address or "")


def required() -> Identity:
    """Whoever has this session; a page whose session has ended shows the way to the login, and nothing else."""
    try:
        return current()
    except AuthenticationError as error:
        st.error(f"**{error.message}**", icon=":material/lock:")
        st.link_button("Log in again", "/login", type="primary")
        st.stop()
