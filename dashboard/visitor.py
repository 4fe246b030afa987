"""Who is looking at a page: the identity behind the session cookie. Tests replace :func:`current`."""

from __future__ import annotations

import streamlit as st

from actions import sessions
from actions.door import Identity
from core.errors import AuthenticationError
from dashboard.guard import COOKIE

_LOOPBACK = "127.0.0.1"  # Streamlit tells no address of whoever is on this machine


def current() -> Identity:
    """Whoever has this session. Raises AuthenticationError when it has ended."""
    return sessions.identify(_token(), st.context.ip_address or _LOOPBACK)


def required(*, by_itself: bool = False) -> Identity:
    """Whoever has this session; a page whose session has ended shows the way to the login, and nothing else.

    A part that draws itself anew ``by_itself`` does not use the session: nobody may be there any longer.
    """
    try:
        who = current()
        if not by_itself:
            sessions.used(_token())
        return who
    except AuthenticationError as error:
        st.error(f"**{error.message}**", icon=":material/lock:")
        st.link_button("Log in again", "/login", type="primary")
        st.stop()


def _token() -> str:
    return str(st.context.cookies.get(COOKIE, ""))
