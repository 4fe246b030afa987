"""Lists of any length, a page at a time: the database is asked for one page, and for how many rows there are."""

from __future__ import annotations

from math import ceil

import streamlit as st

PAGE = 50  # rows


def current(key: str) -> int:
    """Which page of a list is looked at, from 0 on."""
    return int(st.session_state.get(key, 0))


def rewind(key: str) -> None:
    """Go back to the first page, because the list is another one now."""
    st.session_state[key] = 0


def controls(key: str, total: int, *, size: int = PAGE) -> None:
    """The way to the pages before and after; nothing where one page holds all."""
    page, pages = current(key), max(1, ceil(total / size))
    if page >= pages:  # what was on it has been deleted
        st.session_state[key] = pages - 1
        st.rerun()
    if pages == 1:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        first, last = page * size + 1, min(total, (page + 1) * size)
        st.caption(f"{first:,} to {last:,} of {total:,}", width="content")
        _step(key, page - 1, "chevron_left", "Newer", disabled=page == 0)
        _step(key, page + 1, "chevron_right", "Older", disabled=page == pages - 1)


def _step(key: str, page: int, icon: str, told: str, *, disabled: bool) -> None:
    def go() -> None:
        st.session_state[key] = page

    st.button("", icon=f":material/{icon}:", help=told, key=f"{key}-{icon}", on_click=go, disabled=disabled)
