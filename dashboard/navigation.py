"""The menu of whoever is looking, and the page that was chosen. A page without its permission does not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from actions.door import Identity
from dashboard import links, visitor
from dashboard.components import problems
from dashboard.page import Page


def navigate(who: Identity, sections: Mapping[str, Sequence[Page]]) -> None:
    """Draw the menu, and the page that was chosen."""
    mine = {title: [one for one in pages if one.is_for(who)] for title, pages in sections.items()}
    menu = {title: {one.path: _entry(one) for one in pages} for title, pages in mine.items() if pages}
    with st.sidebar:
        _whoever(who)
    if not menu:
        st.title("Nothing to see yet")
        st.info("You have no permissions. An administrator can put you into a group.", icon=":material/group_add:")
        return
    entries = {path: entry for pages in menu.values() for path, entry in pages.items()}
    links.remember(entries)
    shown = {title: list(pages.values()) for title, pages in menu.items()}
    if "" not in entries:
        first = next(iter(shown.values()))
        first.insert(0, _way_to(first[0]))
    st.navigation(shown, expanded=True).run()


def _way_to(page: st.Page) -> st.Page:
    """What lies at the root for whoever has no Home. Without it their first page would move there from its own path."""
    return st.Page(lambda: st.switch_page(page), title="Start", url_path="start", default=True, visibility="hidden")


def _entry(page: Page) -> st.Page:
    return st.Page(
        _guarded(page), title=page.title, url_path=page.path, icon=f":material/{page.icon}:", default=not page.path
    )


def _guarded(page: Page) -> Callable[[], None]:
    def draw() -> None:
        with problems.told():
            page.draw(visitor.required())

    return draw


def _whoever(who: Identity) -> None:
    st.caption(f":material/person: {problems.escaped(who.name)}")
    st.link_button("Log out", "/logout", icon=":material/logout:", type="tertiary")
