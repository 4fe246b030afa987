"""A foreseeable failure on a page: what is wrong, what to do. Whatever else fails is for the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.errors import AuthenticationError, DBackupError, PermissionError


@contextmanager
def told() -> Iterator[None]:
    """Show a DBackupError in its place on the page instead of letting it end the page."""
    try:
        yield
    except DBackupError as error:
        show(error)


def show(error: DBackupError) -> None:
    """One failure, with its advice. Its texts are data: no Markdown of theirs is obeyed."""
    icon = ":material/lock:" if isinstance(error, PermissionError | AuthenticationError) else ":material/error:"
    with st.container(border=True):
        st.markdown(f"{icon} **{escaped(error.message)}**")
        if error.hint:
            st.caption(escaped(error.hint))


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: names and messages come from outside."""
    return "".join(f"\\{one}" if one in _MARKDOWN else one for one in text).replace("\n", "  \n")


_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|~$:@^=&\"'")
