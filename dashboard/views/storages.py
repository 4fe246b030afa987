"""Storage: the places that backups are stored in, and whether they can be written and read."""

from __future__ import annotations

import streamlit as st

from actions import forms, saved
from actions.door import Identity
from core import words
from core.jobs import Address, JobSpec
from core.permissions import Permission
from dashboard.components import collection


def draw(who: Identity) -> None:
    """The page."""
    collection.draw(STORAGES, who)


def _test(who: Identity, name: str) -> None:
    free = saved.test_storage(who, Address(name))
    room = f"; {words.size(free)} are free" if free is not None else ""
    st.success(f"A small file was written, read and deleted{room}.", icon=":material/check:")


def _needs(spec: JobSpec) -> list[str]:
    return list(spec.destinations)


STORAGES = collection.Collection(
    noun="storage",
    title="Storage",
    nothing="No storage is saved yet. Add one: a folder, a bucket or a server. Two places are safer than one.",
    remains="What lies on it stays there.",
    change_note="What lies at the old place stays there.",
    writing=Permission.STORAGES_WRITE,
    testing=Permission.STORAGES_READ,
    listed=saved.storages,
    forms=forms.storage_forms,
    form=forms.storage_form,
    add=forms.add_storage,
    change=forms.change_storage,
    remove=saved.remove_storage,
    test=_test,
    needs=_needs,
)
