"""Home: is everything safe? What needs attention comes first; then each job, and what the last year looked like."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import accumulate

import pandas as pd
import streamlit as st

from actions import overview, saved
from actions.door import Identity
from actions.overview import CALENDAR_DAYS, History, Overview
from core import words
from core.permissions import Permission
from dashboard import links
from dashboard.components import charts
from dashboard.components.figures import ago
from dashboard.components.live import live
from dashboard.components.problems import escaped
from services.overview import Line, Verdict

ATTENTION = 5  # lines that are shown at the top; the table has all of them
_SIGNS = {Verdict.SAFE: "✓", Verdict.UNWATCHED: "!", Verdict.FAILING: "!", Verdict.NEVER: "…"}
_BADGES = {Verdict.FAILING: ("orange", "warning"), Verdict.NEVER: ("blue", "hourglass_empty")}


def draw(who: Identity) -> None:
    """The page, which brings itself up to date."""
    st.title("Is everything safe?")
    live(_everything, who, every=15)


def _everything(who: Identity) -> None:
    found = overview.everything(who)
    if not found.lines and not found.unreadable:
        _first_steps(who)
        return
    _attention(found)
    _figures(found)
    _jobs(found)
    _history(overview.history(who), found.now.date())  # asked for now: meanwhile the browser draws what is above


def _first_steps(who: Identity) -> None:
    """The way to the first backup: what is done already, and the link to what is next."""
    sources = len(saved.sources(who)) if Permission.SOURCES_READ in who.permissions else 0
    storages = len(saved.storages(who)) if Permission.STORAGES_READ in who.permissions else 0
    with st.container(border=True):
        st.subheader("Three steps to the first backup")
        _step("sources", "1. Say where the database is, and test it", sources)
        _step("storage", "2. Say where its backups go; two places are safer than one", storages)
        _step("jobs", "3. Create a job, run it, and watch its backup being proven", 0)


def _step(page: str, what: str, done: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        links.link(page, what, "check_circle" if done else "radio_button_unchecked")
        if done:
            st.caption(f"{done} saved")


def _attention(found: Overview) -> None:
    lines = [line for line in found.lines if line.verdict.needs_attention]
    for line in lines[:ATTENTION]:
        color, icon = _BADGES.get(line.verdict, ("red", "error"))
        with st.container(border=True):
            badge = f":{color}-badge[:material/{icon}: {line.verdict.value}]"
            st.markdown(f"{badge} **{escaped(line.job)}**: {escaped(line.reason)}")
    for one in found.unreadable:
        st.error(f"The job {escaped(one.name)} cannot be read: {escaped(one.problem)}", icon=":material/error:")
    if len(lines) > ATTENTION:
        st.caption(f"and {len(lines) - ATTENTION} more, in the table below")


def _figures(found: Overview) -> None:
    good = sum(not line.verdict.needs_attention for line in found.lines)
    with st.container(horizontal=True):
        st.metric("Jobs that are well", f"{good} of {len(found.lines)}", border=True)
        st.metric("Backups today", f"{found.today.number:,}", border=True)
        st.metric("Stored copies", f"{sum(one.number for one in found.stored.values()):,}", border=True)
        st.metric("Stored", words.size(sum(one.size for one in found.stored.values())), border=True)


def _jobs(found: Overview) -> None:
    st.subheader("Jobs")
    st.dataframe(
        pd.DataFrame([_row(line, found) for line in found.lines]), hide_index=True, key="home-jobs", height="auto"
    )


def _row(line: Line, found: Overview) -> dict[str, str]:
    newest = line.newest
    limit = f"{line.overdue_after} h" if line.overdue_after else "no limit"
    return {
        "State": f"{_SIGNS.get(line.verdict, '✗')} {line.verdict.value}",
        "Source": line.source,
        "Job": line.job,
        "Last good backup": ago(newest.started_at if newest else None, found.now, "none yet"),
        "Limit": limit,
        "Size": words.size(newest.size) if newest else "",
        "Copies": ", ".join(copy.storage for copy in newest.copies) if newest else "",
        "Checked again": ago(line.checked_at, found.now),
        "Restored": ago(line.restored_at, found.now),
    }


def _history(found: History, today: date) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("Runs of the last days")
        charts.runs_by_day(found.runs)
    with right:
        st.subheader("Growth")
        charts.growth(_grown(found, today))
    st.subheader("A year of backups")
    charts.calendar({day: one.number for day, one in found.days.items()}, today, CALENDAR_DAYS)


def _grown(found: History, today: date) -> list[tuple[date, int]]:
    """The sum of the backups that are kept, day by day since the first of the year that has one."""
    if not found.days:
        return []
    first = min(found.days)
    every = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    return list(zip(every, accumulate(found.days[day].size if day in found.days else 0 for day in every), strict=True))
