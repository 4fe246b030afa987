"""Settings: what is set and where that comes from, the queue, the versions, and what the doctor finds."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from actions import doctor, queue, system
from actions.doctor import Finding
from actions.door import Identity
from core.permissions import Permission
from dashboard.components import problems
from dashboard.components.figures import moment
from dashboard.components.problems import escaped

_MOST = 64  # runs at once: more would need more machines


def draw(who: Identity) -> None:
    """The page."""
    st.title("Settings")
    if Permission.JOBS_READ in who.permissions:
        with problems.told():
            _queue(who)
    st.subheader("What is set")
    st.caption("Each is an environment variable, read when the system starts. A secret is never shown.")
    rows = [{"Variable": one.name, "Value": one.value, "From": one.origin} for one in system.configuration(who)]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content", key="settings")
    st.subheader("Versions")
    st.caption(escaped(", ".join(f"{name} {version}" for name, version in system.versions(who).items())))
    _doctor(who)


def _queue(who: Identity) -> None:
    st.subheader("Queue")
    found = queue.queue(who)
    living = [one for one in found.workers if one.alive]
    with st.container(border=True):
        if living:
            st.markdown(f":green-badge[:material/check: at work] {escaped(', '.join(one.name for one in living))}")
        else:
            st.markdown(":red-badge[:material/error: nobody takes runs] Start the system: `dbackup up`")
        for one in found.workers:
            if not one.alive:
                st.caption(escaped(f"{one.name} was last heard of {moment(one.heard_at)}"))
        if Permission.SYSTEM_WRITE in who.permissions:
            _limit(who, found.limit)
        else:
            st.markdown(f"Runs at once: {found.limit or 'no limit'}")


def _limit(who: Identity, now: int | None) -> None:
    with st.form("queue", border=False):
        limit = st.number_input(
            "Runs at once", 1, _MOST, now or 1, width=160, help="Others wait their turn. Those that run go on."
        )
        given = st.form_submit_button("Save")
    if given and limit != now:
        queue.set_limit(who, int(limit))
        st.rerun()


def _doctor(who: Identity) -> None:
    st.subheader("Doctor")
    st.caption("Looks at tools, keys and the catalog, and asks every source and storage. That can take a while.")
    if not st.button("Examine everything", icon=":material/stethoscope:"):
        return
    with problems.told(), st.spinner("Looking …"):
        found = [one for one in doctor.examine(who) if not one.subject.startswith("DBACKUP_")]  # they stand above
        for one in sorted(found, key=lambda one: one.good):
            _finding(one)


def _finding(one: Finding) -> None:
    badge = ":green-badge[:material/check:]" if one.good else ":red-badge[:material/error:]"
    st.markdown(f"{badge} **{escaped(one.subject)}** {escaped(one.fact)}")
    if one.advice:
        st.caption(escaped(one.advice))
