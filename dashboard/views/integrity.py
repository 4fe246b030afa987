"""Integrity: what the last check of each copy found, failures first; checking everything now; past runs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from actions import integrity
from actions.door import Identity
from actions.integrity import Followed, Past
from core import words
from core.jobs import IntegritySpec
from core.permissions import Permission as May
from core.reports import IntegrityReport
from dashboard.components import following, paging, problems
from dashboard.components.figures import moment, state
from dashboard.components.problems import escaped
from db.inventory import Checked

PAGE = "integrity-page"
_ORDER = {"failed": 0, "skipped": 1, "passed": 2}


def draw(who: Identity) -> None:
    """The page."""
    st.title("Integrity")
    st.caption("A check reads every byte of a backup back from where it lies, and compares it with the manifest.")
    _figures(who)
    _now(who)
    if run := st.query_params.get("run"):
        following.watch(lambda visitor: integrity.follow(visitor, run), _followed, who)
    _copies(who)
    if not who.is_limited(May.BACKUPS_READ):
        _past(who)
    with problems.told():
        _schedule(who)


def _figures(who: Identity) -> None:
    health = integrity.health(who)
    with st.container(horizontal=True):
        st.metric("Copies", f"{health.copies:,}", border=True)
        st.metric("Passed their last check", f"{health.passed:,}", border=True)
        st.metric("Failed it", f"{health.failed:,}", border=True)
        st.metric("Not checked again yet", f"{health.unchecked:,}", border=True)


def _now(who: Identity) -> None:
    if May.BACKUPS_VERIFY not in who.permissions or who.is_limited(May.BACKUPS_VERIFY):
        return
    if st.button("Check everything now", icon=":material/fact_check:", type="primary"):
        st.query_params["run"] = integrity.start(who, IntegritySpec())
        st.rerun()


def _followed(found: Followed) -> None:
    with st.container(border=True):
        st.markdown(f"{following.badge(found.run.state)} The check that was begun here")
        following.progress(found.run)
        if found.report:
            _report(found.report, "followed")


def _copies(who: Identity) -> None:
    st.subheader("The last check of each copy")
    found = integrity.checks(who, limit=paging.PAGE, offset=paging.current(PAGE) * paging.PAGE)
    if not found.total:
        st.info("There is no backup yet, so there is nothing to check.", icon=":material/inventory_2:")
        return
    table = pd.DataFrame([_row(one) for one in found.rows])
    st.dataframe(table, hide_index=True, key="integrity-copies", height="content")
    paging.controls(PAGE, found.total)


def _row(one: Checked) -> dict[str, str]:
    copy = one.copy
    result = "not yet" if copy.checked_at is None else "✓ passed" if copy.passed else "✗ failed"
    return {
        "Result": result,
        "Job": one.job,
        "Taken": moment(one.started_at),
        "Where": copy.storage,
        "Checked": moment(copy.checked_at),
        "How": copy.method,
        "Remarks": copy.detail,
        "Stored": words.size(one.size),
        "Id": one.backup_id,
    }


def _past(who: Identity) -> None:
    st.subheader("Past checks")
    found = integrity.past(who)
    if not found:
        st.caption("None yet.")
    for one in found:
        _one(one)


def _one(one: Past) -> None:
    run = one.run
    title = f"{state(run.state)}, {moment(run.started_at or run.created_at)}"
    if one.report:
        counts = (f"{one.report.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))
        title = f"{title}, {', '.join(counts)}"
    with st.expander(escaped(title)):
        if run.error:
            st.error(escaped(run.error), icon=":material/error:")
        if one.report:
            _report(one.report, run.execution_id)


def _report(report: IntegrityReport, key: str) -> None:
    for unread in report.unread:
        st.error(escaped(f"{unread.subject}: {unread.reason}. {unread.hint}"), icon=":material/cloud_off:")
    rows = [
        {
            "Result": f"{'✓' if one.outcome == 'passed' else '✗' if one.outcome == 'failed' else '-'} {one.outcome}",
            "Job": one.job,
            "Where": one.storage,
            "How": one.method,
            "Why": " ".join(filter(None, [one.reason, one.hint])),
            "Stored": words.size(one.size),
            "Id": one.backup_id,
        }
        for one in sorted(report.checked, key=lambda one: _ORDER.get(one.outcome, 0))
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"report-{key}", height="auto")


def _schedule(who: Identity) -> None:
    st.subheader("By itself")
    when = integrity.schedule(who)
    active = when is not None and not when.paused
    if when is None:
        st.markdown("Nothing is checked by itself yet.")
    else:
        st.markdown(escaped(f"{'Checked' if active else 'Not checked'} by itself: {when}."))
    if active and when and when.next_times:
        st.caption(f"Next on {when.next_times[0]:%A %Y-%m-%d at %H:%M %Z}")
    if May.SYSTEM_WRITE not in who.permissions:
        return
    st.caption("Reading everything back takes time, and at some providers it costs money.")
    if st.button("Switch it off" if active else "Switch it on", icon=":material/power_settings_new:"):
        integrity.set_schedule(who, active=not active)
        st.rerun()
