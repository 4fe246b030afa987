"""What came back, and what was compared with the backup."""

from __future__ import annotations

import streamlit as st

from core.reports import RestoredDatabase, RestoreReport
from core.words import count, duration
from dashboard.components.problems import escaped


def draw(report: RestoreReport) -> None:
    """The result of a restore that is over."""
    st.subheader("What came back")
    st.caption(escaped(f"From {report.storage}, in {duration(report.seconds)}."))
    for one in report.restored:
        _database(one)
    for failure in report.failures:
        st.error(f"{escaped(str(failure))}  \n{escaped(failure.hint)}", icon=":material/error:")
    if report.missing:
        names = escaped(", ".join(report.missing))
        st.warning(f"The backup never held {names}.", icon=":material/warning:")
    for delivery in report.notifications:
        st.caption(escaped(str(delivery)))


def _database(one: RestoredDatabase) -> None:
    with st.container(border=True):
        st.markdown(f":green[:material/check_circle:] **{escaped(one.database)}** is now {escaped(one.place)}")
        held = f"{count(one.tables, 'table')}, {count(one.rows, 'row')}"
        proof = "as many as the backup's manifest says" if one.compared else "there was nothing to compare them with"
        st.markdown(f"{escaped(held)}: {proof}.")
        if one.uncounted:
            st.caption(f"Only estimated, so not compared: {escaped(', '.join(one.uncounted))}")
        for note in one.notes:
            st.warning(escaped(note), icon=":material/warning:")
