"""Users: who may log in, when they last did, and what they belong to. Nobody manages somebody who may do more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st
from pydantic import SecretStr

from actions import groups, tokens, users
from actions.door import Identity
from core.permissions import Permission
from dashboard.components import paging, problems, sessions, table
from dashboard.components import tokens as token_list
from dashboard.components.dialogs import confirm, dialog
from dashboard.components.figures import ago
from dashboard.components.problems import escaped
from services.accounts.users import NewUser, User

KEY = "users"
_SHOWN = 100  # groups and tokens of one user; nobody has more that they can tell apart


def draw(who: Identity) -> None:
    """The page."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Users")
        if Permission.USERS_WRITE in who.permissions and st.button("Add a user", icon=":material/add:", type="primary"):
            dialog("Add a user", _add, width="medium")
    search = st.text_input("Search", placeholder="name or address", on_change=paging.rewind, args=(KEY,))
    total = users.count(who, search=search)
    found = users.page(who, limit=paging.PAGE, offset=paging.current(KEY) * paging.PAGE, search=search)
    if not found:
        st.caption("Nobody is called so.")
        return
    number = table.chosen([_row(one) for one in found], [one.name for one in found], KEY)
    paging.controls(KEY, total)
    if number is None:
        st.caption("Choose a user in the table to see more of them.")
    else:
        _panel(who, found[number])


def _row(one: User) -> dict[str, str]:
    return {
        "Name": one.name,
        "Groups": ", ".join(one.groups) or "none",
        "Login": login(one),
        "Last login": ago(one.last_login_at, datetime.now(UTC)),
        "E-mail": one.email or "",
    }


def login(one: User) -> str:
    """How somebody logs in: ``password and code``, ``disabled``."""
    if not one.enabled:
        return "disabled"
    return ("password" if one.has_password else "single sign-on") + (" and code" if one.second_factor else "")


def _panel(who: Identity, one: User) -> None:
    with st.container(border=True):
        st.subheader(escaped(one.name))
        st.caption(escaped(f"{login(one)}; last login {ago(one.last_login_at, datetime.now(UTC))}"))
        if Permission.USERS_WRITE in who.permissions:
            _buttons(one)
        if Permission.GROUPS_WRITE in who.permissions:
            _membership(who, one)
        else:
            st.markdown(f"Groups: {escaped(', '.join(one.groups) or 'none')}")
        may_end = Permission.USERS_WRITE in who.permissions
        st.markdown("**Logged in**")
        sessions.listed(
            users.sessions(who, one.name), f"of-{one.name}", _ending(one) if may_end else None, own=who.session_id
        )
        if own := tokens.page(who, owner=one.name, limit=_SHOWN):
            st.markdown("**API tokens**")
            token_list.listed(own, f"tokens-of-{one.name}", tokens.revoke_any if may_end else None)


def _ending(one: User) -> sessions.End:
    def end(who: Identity, session_id: str) -> None:
        users.end_sessions(who, one.name, session_id)

    return end


def _buttons(one: User) -> None:
    name = one.name
    with st.container(horizontal=True):
        if not one.enabled:
            if st.button("Let in again", icon=":material/lock_open:"):
                _ask_to_enable(name)
        elif st.button("Disable", icon=":material/block:"):
            _ask_to_disable(name)
        if st.button("Set a password", icon=":material/password:"):
            dialog(f"A password for {escaped(name)}", lambda who: _set_password(who, name), width="small")
        if one.second_factor and st.button("Reset the second factor", icon=":material/phonelink_erase:"):
            _ask_to_reset(name)
        if st.button("Log out everywhere", icon=":material/logout:"):
            _ask_to_log_out(name)
        if st.button("Delete", icon=":material/delete:"):
            _ask_to_delete(name)


def _ask_to_enable(name: str) -> None:
    does = "They may log in again, and their API tokens open again what they were made for."
    confirm(
        f"Let {escaped(name)} in again?", does, lambda who: users.set_enabled(who, name, enabled=True), button="Let in"
    )


def _ask_to_disable(name: str) -> None:
    does = "They are logged out everywhere, and neither their password nor their API tokens open anything."
    confirm(
        f"Disable {escaped(name)}?", does, lambda who: users.set_enabled(who, name, enabled=False), button="Disable"
    )


def _ask_to_reset(name: str) -> None:
    does = "They are logged out, and their password alone lets them in until they set up another one. Be sure who asks."
    confirm(f"Reset {escaped(name)}?", does, lambda who: users.reset_second_factor(who, name), button="Reset")


def _ask_to_log_out(name: str) -> None:
    does = "Each of their sessions ends now. They can log in again."
    confirm(f"Log {escaped(name)} out?", does, lambda who: users.end_sessions(who, name), button="Log out")


def _ask_to_delete(name: str) -> None:
    def act(who: Identity) -> None:
        users.delete(who, name)
        st.query_params.clear()

    does = "Their account, sessions and API tokens are gone. What they did stays in the audit."
    confirm(f"Delete {escaped(name)}?", does, act, button="Delete")


def _set_password(who: Identity, name: str) -> None:
    with st.form("set-password", border=False):
        new = st.text_input("New password", type="password", autocomplete="new-password", help="12 characters or more")
        st.caption("They are logged out everywhere. Their API tokens stay.")
        given = st.form_submit_button("Set it", type="primary")
    if given:
        users.set_password(who, name, SecretStr(new))
        st.rerun()


def _membership(who: Identity, one: User) -> None:
    """The groups of a user, as the form of who may change them."""
    offered = _group_names(who, one.groups)
    with st.form(f"groups-{one.name}", border=False):
        chosen = st.multiselect("Groups", offered, default=one.groups, placeholder="none: they may do nothing")
        if not st.form_submit_button("Save the groups"):
            return
    with problems.told():
        for name in set(chosen) - set(one.groups):
            groups.add(who, name, one.name)
        for name in set(one.groups) - set(chosen):
            groups.remove(who, name, one.name)
        st.rerun()


def _group_names(who: Identity, also: Sequence[str] = ()) -> list[str]:
    return sorted({*also, *(one.name for one in groups.page(who, limit=_SHOWN))})


def _add(who: Identity) -> None:
    offered = _group_names(who) if Permission.USERS_READ in who.permissions else []
    with st.form("add-user", border=False):
        name = st.text_input("Name", autocomplete="off", placeholder="ada", help="Letters, digits and . _ @ + -")
        password = st.text_input(
            "Password", type="password", autocomplete="new-password",
            help="12 characters or more. Without one they log in through an identity provider.",
        )  # fmt: skip
        email = st.text_input("E-mail", autocomplete="off")
        chosen = st.multiselect("Groups", offered, placeholder="none: they may do nothing")
        given = st.form_submit_button("Add", type="primary")
    if given:
        new = NewUser(name, SecretStr(password) if password else None, email or None, tuple(chosen))
        table.point_to(users.create(who, new).name)
        st.rerun()
