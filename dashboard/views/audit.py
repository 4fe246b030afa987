"""Audit: who did what, to what, when, from where, and with what result. Chosen and paged in the database."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pandas as pd
import streamlit as st

from actions import audit
from actions.door import Identity
from dashboard import audit_export
from dashboard.components import paging
from dashboard.components.figures import moment
from db.audit import Entry, Wanted

KEY = "audit"
_SIGNS = {"done": "✓", "refused": "⊘"}
_WIDTHS = {"When": 140, "Who": 110, "What": 150, "Of": 140, "From": 110, "Result": 80}  # pixels; a reason has the rest
_DAYS = {"Today": 0, "7 days": 6, "30 days": 29, "Everything": None}


def draw(who: Identity) -> None:
    """The page."""
    st.title("Audit")
    wanted = _wanted()
    total = audit.count(who, wanted)
    found = audit.entries(who, wanted, limit=paging.PAGE, offset=paging.current(KEY) * paging.PAGE)
    if not found:
        st.caption("Nothing of that has happened.")
        return
    st.dataframe(
        pd.DataFrame([_row(one) for one in found]), hide_index=True, height="content", key="audit-table",
        column_config={name: st.column_config.TextColumn(width=width) for name, width in _WIDTHS.items()},
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.link_button(f"Export {total:,} as CSV", audit_export.link(wanted), icon=":material/download:")
        paging.controls(KEY, total)


def _wanted() -> Wanted:
    """Which entries somebody wants to see."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        who = st.text_input("Who", placeholder="anybody", on_change=_rewind)
        action = st.text_input("Action", placeholder="login, users., runs.restore", on_change=_rewind)
        span = st.selectbox("When", list(_DAYS), index=1, on_change=_rewind)
        result = st.selectbox("Result", ["any", "done", "failed", "refused"], on_change=_rewind)
    return Wanted(_since(_DAYS[span]), who.strip(), action.strip(), "" if result == "any" else result)


def _rewind() -> None:
    paging.rewind(KEY)


def _since(days: int | None) -> datetime | None:
    """The beginning, in UTC, of the day so many days ago."""
    return None if days is None else datetime.combine(datetime.now(UTC).date() - timedelta(days=days), time(), UTC)


def _row(one: Entry) -> dict[str, str]:
    return {
        "When": moment(one.moment),
        "Who": one.who,
        "What": one.action,
        "Of": one.target,
        "From": one.origin,
        "Result": f"{_SIGNS.get(one.result, '✗')} {one.result}",
        "Reason": one.reason,
    }
