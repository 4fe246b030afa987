"""The way from one page to another, by its path: a link in the menu's own manner, without loading everything anew."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

_KEY = "pages"


def remember(pages: Mapping[str, st.Page]) -> None:
    """Keep the pages that this visitor can go to."""
    st.session_state[_KEY] = dict(pages)


def link(path: str, label: str, icon: str) -> None:
    """A link to a page, where this visitor has it; else only its words."""
    page = st.session_state.get(_KEY, {}).get(path)
    if page is None:
        st.markdown(f":material/{icon}: {label}")
    else:
        st.page_link(page, label=label, icon=f":material/{icon}:")


def go(path: str, **parameters: str) -> None:
    """Show another page now, of which ``parameters`` name a thing."""
    if page := st.session_state.get(_KEY, {}).get(path):
        st.switch_page(page, query_params=parameters)
