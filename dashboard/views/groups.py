"""Groups: what their members may do, and on which sources. Nobody gives, or takes, what they do not have."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from actions import groups, saved
from actions.door import Identity
from core.permissions import Permission
from core.rights import Grant
from core.words import count
from dashboard.components import paging, permissions, problems, table
from dashboard.components.dialogs import confirm, dialog
from dashboard.components.problems import escaped
from services.accounts.groups import Group

KEY = "groups"


def draw(who: Identity) -> None:
    """The page."""
    may_write = Permission.GROUPS_WRITE in who.permissions
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Groups")
        if may_write and st.button("Add a group", icon=":material/add:", type="primary"):
            dialog("Add a group", _add, width="large")
    found = groups.page(who, limit=paging.PAGE, offset=paging.current(KEY) * paging.PAGE)
    number = table.chosen([_row(one) for one in found], [one.name for one in found], KEY)
    paging.controls(KEY, groups.count(who))
    if number is None:
        st.caption("Choose a group in the table to see its members and what they may do.")
    else:
        _panel(who, groups.get(who, found[number].name), may_write=may_write)


def _row(one: Group) -> dict[str, str]:
    return {
        "Name": one.name,
        "May": "everything" if one.protected else permissions.told(one.permissions),
        "Sources": "all" if one.sources is None else ", ".join(sorted(one.sources)) or "none",
    }


def _panel(who: Identity, one: Group, *, may_write: bool) -> None:
    with st.container(border=True):
        st.subheader(escaped(one.name))
        st.caption(escaped(f"{count(len(one.members), 'member')}: {', '.join(one.members) or 'nobody'}"))
        if one.protected:
            st.info(
                "Members may do everything, also what later versions add. This group cannot be changed or deleted, and "
                "it never loses its last member who may log in.",
                icon=":material/shield:",
            )
        elif not may_write:
            st.markdown(escaped(permissions.told(one.permissions)))
        else:
            _change(who, one)


def _change(who: Identity, one: Group) -> None:
    key = f"change-{one.name}"
    with st.form(key, border=False):
        grant = _grant(who, key, Grant(one.permissions, one.sources))
        given = st.form_submit_button("Save", type="primary")
    if st.button("Delete the group", icon=":material/delete:"):
        _ask_to_delete(one)
    if given:
        with problems.told():
            groups.change(who, one.name, grant)
            st.rerun()


def _ask_to_delete(one: Group) -> None:
    def act(who: Identity) -> None:
        groups.delete(who, one.name)
        st.query_params.clear()

    lost = count(len(one.members), "member")
    confirm(
        f"Delete {escaped(one.name)}?", f"Its {lost} keep their accounts, without what it gave them.", act,
        button="Delete",
    )  # fmt: skip


def _add(who: Identity) -> None:
    with st.form("add-group", border=False):
        name = st.text_input("Name", autocomplete="off", placeholder="operators", max_chars=64)
        grant = _grant(who, "add-group", Grant(frozenset({Permission.ACCOUNT_OWN, Permission.TOKENS_OWN})))
        given = st.form_submit_button("Add", type="primary")
    if given:
        table.point_to(groups.create(who, name, grant).name)
        st.rerun()


def _grant(who: Identity, key: str, now: Grant) -> Grant:
    """What a group gives, as somebody chooses it. Offered is what one has, and what the group has already."""
    left, right = st.columns([3, 2])
    with left:
        st.markdown("**Members may**")
        chosen = permissions.choice(who.permissions | now.permissions, key, now.permissions)
    with right:
        st.markdown("**on these sources**")
        limited = st.toggle("Only some sources", value=now.sources is not None, key=f"{key}-limited")
        names = st.multiselect(
            "Sources", _sources(who, now.sources or ()), default=sorted(now.sources or ()), key=f"{key}-sources",
            placeholder="none", accept_new_options=True,
        )  # fmt: skip
        st.caption("The limit counts for sources, jobs and backups. Other permissions are never limited.")
    return Grant(chosen, frozenset(names) if limited else None)


def _sources(who: Identity, also: Collection[str]) -> list[str]:
    mine = (one.name for one in saved.sources(who)) if Permission.SOURCES_READ in who.permissions else ()
    return sorted({*also, *mine})
