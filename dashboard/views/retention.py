"""What the rules of a job would do with its backups now, each decision with its reasons."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from actions import jobs, retention
from actions.door import Identity
from core.permissions import Permission
from core.reports import Retained, RetainedBackup
from dashboard.components.figures import moment
from dashboard.components.problems import escaped

_SAID = {"kept": "✓ keep", "due": "✗ delete", "deleted": "✗ deleted"}


def draw(who: Identity) -> None:
    """Ask for a job, and show what would be decided. Nothing is deleted here."""
    if Permission.JOBS_READ not in who.permissions:
        st.info("To see what retention would do, you need to be allowed to see jobs.", icon=":material/lock:")
        return
    names = [spec.name for spec in jobs.everything(who).readable]
    if not names:
        st.info("No job is saved yet, so nothing is ever deleted by itself.", icon=":material/event_repeat:")
        return
    name = st.selectbox("Job", names, index=None, key="retention-job", placeholder="Choose a job")
    if name is None:
        st.caption("Choose a job to see which of its backups would be kept, which would go, and why.")
        return
    with st.spinner("Reading what lies on its destinations"):
        found = retention.preview(who, jobs.get(who, name))
    st.caption("This is what would happen now, after a good backup. Looking at it deletes nothing.")
    for one in found:
        _destination(one)


def _destination(one: Retained) -> None:
    with st.container(border=True):
        st.markdown(f"**{escaped(one.storage)}**: {escaped(one.policy or 'no rules')}, {escaped(one.summary)}")
        if one.failure:
            st.warning(f"{escaped(one.failure.reason)}  \n{escaped(one.failure.hint)}", icon=":material/warning:")
        if one.backups:
            table = pd.DataFrame([_row(backup) for backup in one.backups])
            st.dataframe(table, hide_index=True, key=f"retention-{one.storage}", height="content")


def _row(one: RetainedBackup) -> dict[str, str]:
    return {
        "Decision": _SAID[one.outcome],
        "Taken": moment(one.started_at),
        "Why": "; ".join(one.reasons),
        "Id": one.backup_id,
    }
