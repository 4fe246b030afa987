"""A page of what is saved under a name, be it sources, storages or channels: a table, and what can be done with one.

The pages differ in what they ask for and in their words, which a :class:`Collection` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from actions import jobs
from actions.door import Identity
from actions.forms import Form, Given
from actions.saved import Saved
from core.jobs import JobSpec
from core.permissions import Permission
from dashboard.components import forms, problems, table
from dashboard.components.dialogs import confirm, dialog
from dashboard.components.problems import escaped

MOST_NAMES = 10  # that are told in one cell


@dataclass(frozen=True)
class Collection:
    """What a page is of, and the actions behind it."""

    noun: str
    title: str
    nothing: str  # what to do first
    remains: str  # what removing one leaves alone
    change_note: str
    writing: Permission
    testing: Permission
    listed: Callable[[Identity], Sequence[Saved]]
    forms: Callable[[Identity], Sequence[Form]]
    form: Callable[[Identity, str], Form]
    add: Callable[[Identity, str, str, Given], None]
    change: Callable[[Identity, str, Given], None]
    remove: Callable[[Identity, str], None]
    test: Callable[[Identity, str], None]  # test one and draw what came of it
    needs: Callable[[JobSpec], Iterable[str]] | None  # which of them a job needs; None where no job ever does

    @property
    def _just_saved(self) -> str:
        return f"{self.noun}-just-saved"


def draw(of: Collection, who: Identity) -> None:
    """The page."""
    may_write = of.writing in who.permissions
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(of.title)
        if may_write and st.button(f"Add a {of.noun}", icon=":material/add:", type="primary"):
            dialog(f"Add a {of.noun}", lambda now: _add(of, now), width="medium")
    saved = of.listed(who)
    if not saved:
        with st.container(border=True):
            st.markdown(of.nothing)
        return
    one = _chosen(of, saved, _users(of, who))
    if one is None:
        st.caption(f"Choose a {of.noun} in the table to see more of it.")
    else:
        _panel(of, who, one, may_write=may_write)


def _users(of: Collection, who: Identity) -> dict[str, list[str]]:
    """The jobs that need each, by its name."""
    if of.needs is None or Permission.JOBS_READ not in who.permissions:
        return {}
    found: dict[str, list[str]] = {}
    for spec in jobs.everything(who).readable:
        for name in of.needs(spec):
            found.setdefault(str(name), []).append(spec.name)
    return found


def _chosen(of: Collection, saved: Sequence[Saved], users: dict[str, list[str]]) -> Saved | None:
    """The table, and which of its rows is chosen."""
    rows = [
        {
            "Name": one.name,
            "Kind": one.kind,
            "Address": one.description or f"✗ {one.problem}",
        }
        | ({"Used by": _listed(users.get(one.name, []))} if of.needs else {})
        for one in saved
    ]
    number = table.chosen(rows, [one.name for one in saved], of.noun)
    return None if number is None else saved[number]


def _listed(names: Sequence[str]) -> str:
    """Names in one cell of a table: a thousand of them would be more than the rest of the page."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _panel(of: Collection, who: Identity, one: Saved, *, may_write: bool) -> None:
    with st.container(border=True):
        st.subheader(escaped(one.name))
        st.caption(escaped(f"{one.kind}: {one.description or one.problem}"))
        with st.container(horizontal=True):
            asked = of.testing in who.permissions and st.button("Test", icon=":material/network_check:")
            if may_write and st.button("Edit", icon=":material/edit:"):
                dialog(f"Edit {escaped(one.name)}", lambda now: _edit(of, now, one.name), width="medium")
            if may_write and st.button("Remove", icon=":material/delete:"):
                _remove(of, one.name)
        if asked or st.session_state.pop(of._just_saved, None) == one.name:
            with problems.told(), st.spinner("Testing …"):
                of.test(who, one.name)


def _remove(of: Collection, name: str) -> None:
    def act(who: Identity) -> None:
        of.remove(who, name)
        st.query_params.clear()

    confirm(f"Remove {escaped(name)}?", f"The {of.noun} {name} is forgotten. {of.remains}", act, button="Remove")


def _add(of: Collection, who: Identity) -> None:
    kinds = {one.kind: one for one in of.forms(who)}
    form = kinds[st.selectbox("Kind", kinds, key=f"add-{of.noun}-kind")]
    with st.form(f"add-{of.noun}-{form.kind}", border=False):
        name = st.text_input(
            "Name *", key=f"add-{of.noun}-name", help="Lower-case letters, digits and dashes.", autocomplete="off",
            placeholder="shop-prod",
        )  # fmt: skip
        given = forms.fields(form, f"add-{of.noun}-{form.kind}")
        if st.form_submit_button("Save and test", type="primary"):
            with problems.told():
                of.add(who, name.strip(), form.kind, given)
                _saved(of, name.strip())


def _edit(of: Collection, who: Identity, name: str) -> None:
    form = of.form(who, name)
    with st.form(f"edit-{of.noun}-{name}", border=False):
        st.caption(f"{escaped(form.kind)}. {of.change_note}")
        given = forms.fields(form, f"edit-{of.noun}-{name}")
        if st.form_submit_button("Save and test", type="primary"):
            with problems.told():
                of.change(who, name, given)
                _saved(of, name)


def _saved(of: Collection, name: str) -> None:
    """Close the dialog; the page then shows the one that was saved, and tests it."""
    st.session_state[of._just_saved] = name
    table.point_to(name)
    st.rerun()
