"""Single sign-on: the providers that people may log in by. They are added, changed and taken away while it runs."""

from __future__ import annotations

import streamlit as st

from actions import forms, saved
from actions.door import Identity
from core.permissions import Permission
from dashboard.components import collection
from dashboard.components.problems import escaped


def draw(who: Identity) -> None:
    """The page."""
    collection.draw(PROVIDERS, who)


def _test(who: Identity, name: str) -> None:
    found = saved.test_provider(who, name)
    if found.client_accepted is False:
        st.error("It answers, but refuses the client id or its secret.", icon=":material/error:")
    else:
        known = " and knows us" if found.client_accepted else ""
        st.success(f"{escaped(found.issuer)} answers{known}.", icon=":material/check:")
    st.markdown("Register these addresses there, below the address of this page:")
    st.code(f"/sso/{name}/callback\n/login", language=None)
    st.caption("The first is where people come back to; the second is where they are after they logged out.")


PROVIDERS = collection.Collection(
    noun="provider",
    title="Single sign-on",
    nothing="People log in with a name and a password. Add a provider, and they can log in with the account that they "
    "have there, too.",
    remains="Its people cannot log in by it any more; their users and their sessions stay.",
    change_note="It holds from the next login on.",
    writing=Permission.PROVIDERS_WRITE,
    testing=Permission.PROVIDERS_READ,
    listed=saved.providers,
    forms=forms.provider_forms,
    form=forms.provider_form,
    add=forms.add_provider,
    change=forms.change_provider,
    remove=saved.remove_provider,
    test=_test,
    needs=None,
)
