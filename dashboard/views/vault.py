"""Vault: the profiles that seal backups, and the way to keep their keys safe. No key is ever shown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from actions import keys
from actions.door import Identity
from actions.keys import Profile
from core.permissions import Permission as May
from core.words import count
from dashboard import kit, visitor
from dashboard.components import problems
from dashboard.components.dialogs import confirm
from dashboard.components.problems import escaped

_SAID = "vault-said"


def draw(who: Identity) -> None:
    """The page."""
    st.title("Vault")
    if told := st.session_state.pop(_SAID, ""):
        st.success(escaped(told), icon=":material/check:")
    found = keys.profiles(who)
    if not found:
        _first()
    elif May.VAULT_REVEAL in who.permissions:
        _kit(found)
    for one in found:
        _profile(who, one)
    if May.VAULT_WRITE in who.permissions:
        left, right = st.columns(2)
        with left:
            _create()
        with right:
            _import()


def _first() -> None:
    with st.container(border=True):
        st.subheader("No profile yet")
        st.markdown(
            "A profile holds the key that seals backups. Make one, choose it in a job, and download the Recovery Kit: "
            "without it nobody can read the backups once this machine is lost."
        )


def _kit(found: Sequence[Profile]) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**Recovery Kit**  \nThe keys of {count(len(found), 'profile')}, to be kept where the backups are not. "
            "It is made anew whenever you take it: take it again after each new key.",
            width="stretch",
        )
        st.link_button("Download…", kit.PATH, icon=":material/medical_services:", type="primary")


def _profile(who: Identity, one: Profile) -> None:
    newest, *older = one.key_ids
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        still = f"  \nOlder keys go on opening their backups: {escaped(', '.join(older))}" if older else ""
        st.markdown(
            f":material/key: **{escaped(one.name)}**  \nNew backups are sealed with {newest}.{still}", width="stretch"
        )
        if May.VAULT_REVEAL in who.permissions:
            address = f"{kit.PATH}?{urlencode({'profile': one.name})}"
            st.link_button("Its kit…", address, icon=":material/medical_services:")
        if May.VAULT_WRITE in who.permissions and st.button(
            "New key…", icon=":material/autorenew:", key=f"rotate-{one.name}"
        ):
            _rotate(one)


def _rotate(one: Profile) -> None:
    def act(who: Identity) -> None:
        made = keys.rotate(who, one.name)
        _say(f"{made.name} has the new key {made.key_ids[0]}. Take its Recovery Kit again.")

    does = (
        f"New backups with {one.name} are sealed with a new key. The old ones stay readable: their keys are kept. The "
        "Recovery Kit that you have does not hold the new key, so take it again afterwards."
    )
    confirm("Give the profile a new key?", does, act, button="Make a new key")


def _create() -> None:
    with st.form("vault-create", border=True, clear_on_submit=True):
        st.markdown("**Make a profile**")
        name = st.text_input("Name", placeholder="production", max_chars=63)
        if st.form_submit_button("Make it", icon=":material/add:"):
            with problems.told():
                made = keys.create(visitor.required(), name.strip())
                _say(f"{made.name} is made, with the key {made.key_ids[0]}. Take its Recovery Kit.")


def _import() -> None:
    with st.form("vault-import", border=True, clear_on_submit=True):
        st.markdown("**Bring keys back**")
        file = st.file_uploader("A Recovery Kit, or the keys.json out of one", type=["zip", "json"], max_upload_size=1)
        if st.form_submit_button("Bring them back", icon=":material/upload:") and file is not None:
            with problems.told():
                brought = keys.import_uploaded(visitor.required(), file.name, file.getvalue())
                told = ", ".join(f"{one.name}, {count(len(one.key_ids), 'key')}" for one in brought)
                _say(f"Here are now: {told}.")


def _say(text: str) -> None:
    st.session_state[_SAID] = text
    st.rerun()
