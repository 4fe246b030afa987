"""API tokens on pages: a list with a way to end each, and a dialog that makes one and shows its secret once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from actions.door import Identity
from core.permissions import Permission
from dashboard.components import permissions, problems
from dashboard.components.dialogs import confirm, dialog
from dashboard.components.figures import ago
from dashboard.components.problems import escaped
from services.accounts.tokens import LONGEST, Issued, Token, Wish

Make = Callable[[Identity, Wish], Issued]
Revoke = Callable[[Identity, str], object]
NEVER = frozenset({Permission.ACCOUNT_OWN})  # a token is no person, so this opens nothing to it
TAKEN = "token-taken"
_DAYS = 90


def listed(tokens: Sequence[Token], key: str, revoke: Revoke | None) -> None:
    """Draw each token; with ``revoke`` there is a button to end it."""
    now = datetime.now(UTC)
    for one in tokens:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            ended = " :red-badge[has expired]" if one.expires_at <= now else ""
            st.markdown(f"**{escaped(one.name)}** `{one.prefix}…`{ended}")
            st.caption(f"ends {ago(one.expires_at, now)}, used {ago(one.used_at, now)}. {permissions.told(one.scopes)}")
            if revoke and st.button("End it", icon=":material/delete:", key=f"{key}-{one.token_id}"):
                _confirm(one, revoke)


def _confirm(one: Token, revoke: Revoke) -> None:
    def act(who: Identity) -> None:
        revoke(who, one.token_id)

    confirm("End the token?", f"Whatever uses {one.name} is refused from now on.", act, button="End it")


def offer(offered: Collection[Permission], make: Make) -> None:
    """Open a dialog that makes a token of these permissions at most."""

    def draw(who: Identity) -> None:
        if st.session_state.get(TAKEN):  # the button of what was shown once, which this run does not draw again
            st.rerun()
        with st.form("new-token", border=False):
            name = st.text_input("What it is for", placeholder="nightly-cron", max_chars=64, autocomplete="off")
            days = st.number_input("Days until it ends", 1, LONGEST.days, _DAYS)
            st.caption("What it may do")
            scopes = permissions.choice([one for one in offered if one not in NEVER], "new-token")
            given = st.form_submit_button("Make it", type="primary")
        if given:
            with problems.told():
                _shown(make(who, Wish(name, scopes, timedelta(days=int(days)))))

    dialog("A new API token", draw, width="medium")


def _shown(made: Issued) -> None:
    st.success(escaped(f"The token {made.token.name}. Copy it now: it is shown only here."), icon=":material/check:")
    st.code(made.secret, language=None)
    st.button("I have it", type="primary", key=TAKEN)
