"""Sources: the databases that can be backed up, what is in them, and whether they answer."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from actions import forms, saved
from actions.door import Identity
from core import words
from core.jobs import Address, JobSpec
from core.permissions import Permission
from dashboard.components import collection
from dashboard.components.problems import escaped


def draw(who: Identity) -> None:
    """The page."""
    collection.draw(SOURCES, who)


def _test(who: Identity, name: str) -> None:
    server, databases = saved.test_source(who, Address(name))
    st.success(
        escaped(f"{server.engine} {server.version} answers, to be dumped by {server.tool}."), icon=":material/check:"
    )
    table = [
        {
            "Database": one.name,
            "Size": "?" if one.size is None else words.size(one.size),
            "Tables": "?" if one.tables is None else f"{one.tables:,}",
        }
        for one in databases
    ]
    if table:
        st.dataframe(pd.DataFrame(table), hide_index=True)


def _needs(spec: JobSpec) -> list[str]:
    return [spec.source]


SOURCES = collection.Collection(
    noun="source",
    title="Sources",
    nothing="No source is saved yet. Add one: say where a database server or a database file is, and it is tested.",
    remains="Its backups stay where they are.",
    change_note="Jobs that use it follow at their next run.",
    writing=Permission.SOURCES_WRITE,
    testing=Permission.SOURCES_READ,
    listed=saved.sources,
    forms=forms.source_forms,
    form=forms.source_form,
    add=forms.add_source,
    change=forms.change_source,
    remove=saved.remove_source,
    test=_test,
    needs=_needs,
)
