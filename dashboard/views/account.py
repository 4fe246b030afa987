"""My account: password, second factor, where one is logged in. What is secret is shown once, and kept in no page."""

from __future__ import annotations

import io

import segno
import streamlit as st
from pydantic import SecretStr

from actions import account
from actions import tokens as api_tokens
from actions.door import Identity
from core.permissions import Permission
from dashboard.components import paging, problems, tokens
from dashboard.components.dialogs import dialog
from dashboard.components.problems import escaped
from dashboard.components.sessions import listed
from services.accounts.second_factor import Enrolment

ENROLMENT = "enrolment"  # in the state of the open page: the secret counts only when a code was given for it
KEPT = "recovery-codes-kept"
TOKENS, TOKENS_PAGE = "own-tokens", 10
_GROUPS = 4  # letters of a secret that stand together, for whoever types it


def draw(who: Identity) -> None:
    """The page."""
    st.title("My account")
    st.caption(escaped(f"You are logged in as {who.name}."))
    if Permission.ACCOUNT_OWN in who.permissions:
        mine = account.own(who)
        left, right = st.columns(2)
        with left:
            _password(who) if mine.has_password else _no_password()
        with right:
            _second_factor(active=mine.second_factor)
        st.subheader("Where you are logged in")
        listed(account.sessions(who), "own", account.end_session, own=who.session_id)
    if Permission.TOKENS_OWN in who.permissions:
        _tokens(who)


def _no_password() -> None:
    st.subheader("Password")
    st.markdown("You have none: you log in through an identity provider. An administrator can give you one.")


def _password(who: Identity) -> None:
    st.subheader("Password")
    with st.form("password", clear_on_submit=True):
        old = st.text_input("Current password", type="password", autocomplete="current-password")
        new = st.text_input("New password", type="password", autocomplete="new-password", help="12 characters or more")
        again = st.text_input("New password again", type="password", autocomplete="new-password")
        if not st.form_submit_button("Change it"):
            return
    if new != again:
        st.error("The two new passwords are not the same.", icon=":material/error:")
        return
    with problems.told():
        account.change_password(who, SecretStr(old), SecretStr(new))
        st.success("You have another password. Everywhere else you are logged out.", icon=":material/check:")


def _second_factor(*, active: bool) -> None:
    st.subheader("Second factor")
    with st.container(border=True):
        if active:
            st.markdown(":green-badge[:material/check: on] Your login asks for a code from your authenticator.")
            if st.button("Take it away", icon=":material/lock_open:"):
                dialog("Take the second factor away?", _remove, width="small")
            return
        st.markdown(
            ":gray-badge[off] An app on your phone shows a code that changes every thirty seconds. With it, a password "
            "that somebody has found out opens nothing."
        )
        if st.button("Set it up", icon=":material/qr_code_2:", type="primary"):
            st.session_state.pop(ENROLMENT, None)
            dialog("Set up a second factor", _enrol, width="medium")


def _enrol(who: Identity) -> None:
    if st.session_state.get(KEPT):  # the button of what was shown once, which this run does not draw again
        st.rerun()
    if ENROLMENT not in st.session_state:
        st.session_state[ENROLMENT] = account.begin_second_factor(who)
    enrolment: Enrolment = st.session_state[ENROLMENT]
    codes = st.empty()
    with codes.container():
        st.markdown("1. Scan this with an authenticator app, or type the key into it.")
        st.image(qr_code(enrolment.uri), width=220)
        st.code(_typed(enrolment.secret), language=None)
        with st.form("second-factor", border=False):
            code = st.text_input("2. Type the six digits that it shows", autocomplete="one-time-code")
            given = st.form_submit_button("Turn it on", type="primary")
    if given:
        with problems.told():
            recovery = account.confirm_second_factor(who, SecretStr(code))
            del st.session_state[ENROLMENT]
            with codes.container():
                _recovery_codes(recovery)


def _recovery_codes(codes: tuple[str, ...]) -> None:
    st.success("From now on your login asks for a code.", icon=":material/check:")
    st.markdown(
        "**Keep these recovery codes where your phone is not.** Each lets you in once without it. "
        "They are shown only now."
    )
    st.code("\n".join(codes), language=None)
    st.button("I have kept them", type="primary", key=KEPT)


def _remove(who: Identity) -> None:
    st.markdown("Afterwards your password alone lets you in, and your recovery codes open nothing.")
    with st.form("remove-second-factor", border=False):
        password = st.text_input("Your password", type="password", autocomplete="current-password")
        given = st.form_submit_button("Take it away", type="primary")
    if given:
        account.remove_second_factor(who, SecretStr(password))
        st.rerun()


def _tokens(who: Identity) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("API tokens")
        if st.button("New token", icon=":material/add:"):
            tokens.offer(who.permissions, api_tokens.create)
    total = api_tokens.own_count(who)
    st.caption(
        "For scripts on other machines. A token can do what it was made for, and never more than you can."
        + ("" if total else " You have none.")
    )
    found = api_tokens.own(who, limit=TOKENS_PAGE, offset=paging.current(TOKENS) * TOKENS_PAGE)
    tokens.listed(found, TOKENS, api_tokens.revoke)
    paging.controls(TOKENS, total, size=TOKENS_PAGE)


def qr_code(text: str) -> str:
    """A text as a QR code: a drawing within the page, so that it lies at no address of its own."""
    drawing = io.BytesIO()
    segno.make(text, error="m").save(drawing, kind="svg", scale=6, border=3, light="#fff", xmldecl=False)
    return drawing.getvalue().decode()


def _typed(secret: str) -> str:
    return " ".join(secret[start : start + _GROUPS] for start in range(0, len(secret), _GROUPS))
