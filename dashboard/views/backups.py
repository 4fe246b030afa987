"""Backups: everything that the catalog holds, searched page by page; one of them is a page of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from actions import inventory
from actions.door import Identity
from actions.inventory import Choices
from core import words
from dashboard.components import paging
from dashboard.components.figures import ago, moment
from dashboard.views import backup, retention
from db.inventory import Held, Wanted

PAGE = "backups-page"
_EVERY = "All"
_KINDS = {
    "Encrypted": Wanted(encrypted=True),
    "Not encrypted": Wanted(encrypted=False),
    "Pinned": Wanted(locked=True),
}


def draw(who: Identity) -> None:
    """The list, or the one backup that the address names."""
    if backup_id := st.query_params.get("backup"):
        backup.draw(who, backup_id)
        return
    st.title("Backups")
    listed, preview = st.tabs(["All backups", "What retention would do"])
    with listed:
        _list(who)
    with preview:
        retention.draw(who)


def _list(who: Identity) -> None:
    wanted = _wanted(inventory.choices(who))
    offset = paging.current(PAGE) * paging.PAGE
    found = inventory.search(who, wanted, limit=paging.PAGE, offset=offset)
    if not found.total:
        _nothing(wanted)
        return
    st.caption(f"{words.count(found.total, 'backup')}. Select one to see what is in it, and what can be done with it.")
    table = pd.DataFrame([_row(one) for one in found.rows])
    # The selection belongs to one page of the list: coming back from a backup, none is selected.
    key = f"backups-{hash(wanted)}-{offset}-{st.session_state.get('backups-visits', 0)}"
    chosen = st.dataframe(
        table, hide_index=True, key=key, on_select="rerun", selection_mode="single-row", height="content"
    )
    paging.controls(PAGE, found.total)
    if rows := chosen["selection"]["rows"]:
        st.session_state["backups-visits"] = st.session_state.get("backups-visits", 0) + 1
        st.query_params["backup"] = found.rows[rows[0]].backup_id
        st.rerun()


def _wanted(choices: Choices) -> Wanted:
    def changed() -> None:
        paging.rewind(PAGE)

    search, storage, job, kind = st.columns([3, 2, 2, 2])
    text = search.text_input(
        "Search", placeholder="A job, a source or an id", key="backups-text", on_change=changed, max_chars=200
    )
    at = storage.selectbox("Destination", [_EVERY, *choices.storages], key="backups-storage", on_change=changed)
    of = job.selectbox("Job", [_EVERY, *choices.jobs], key="backups-job", on_change=changed)
    like = kind.selectbox("Which", [_EVERY, *_KINDS], key="backups-kind", on_change=changed)
    return replace(
        _KINDS.get(like, Wanted()),
        text=text.strip(),
        storage="" if at == _EVERY else at,
        job="" if of == _EVERY else of,
    )


def _nothing(wanted: Wanted) -> None:
    if wanted != Wanted():
        st.info("No backup fits. Search for something else, or take a filter away.", icon=":material/search_off:")
        return
    with st.container(border=True):
        st.subheader("There is no backup yet")
        st.markdown(
            "A job makes them: say what to back up, where to and when. Backups that lie on a storage already are found "
            "by `dbackup catalog rebuild`."
        )


def _row(one: Held) -> dict[str, object]:
    return {
        "Taken": moment(one.started_at),
        "Job": one.job,
        "Source": one.source,
        "Engine": one.engine,
        "Stored": words.size(one.size),
        "Dump": words.size(one.dump_size),
        "Where": ", ".join(copy.storage for copy in one.copies),
        "Checked again": checked(one),
        "Key": one.profile or "not encrypted",
        "Remarks": remarks(one),
        "Id": one.backup_id,
    }


def checked(one: Held) -> str:
    """How many of its copies passed their last check, or that one did not."""
    looked = [copy for copy in one.copies if copy.checked_at]
    if any(copy.passed is False for copy in looked):
        return "✗ failed"
    if not looked:
        return "not yet"
    newest = max(copy.checked_at for copy in looked if copy.checked_at)
    return f"✓ {len(looked)} of {len(one.copies)}, {ago(newest, datetime.now(UTC))}"


def remarks(one: Held) -> str:
    """What somebody should know before relying on it."""
    pinned = "pinned" if any(copy.locked for copy in one.copies) else ""
    return ", ".join(filter(None, [pinned, "" if one.complete else "incomplete"]))
