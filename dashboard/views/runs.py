"""Runs: what is at work, what waits and in which order, and what has ended; and one of them with its steps and log.

A link to one run is the page with its id: ``?name=…``.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from actions import runs
from actions.door import Identity
from core import words
from core.permissions import Permission as May
from core.runs import LogLine, Progress, Run, RunDetails, Step
from core.states import RunState
from dashboard.components import figures, paging, problems, table
from dashboard.components.dialogs import confirm
from dashboard.components.live import live
from dashboard.components.problems import escaped
from db.executions import WantedRuns

KINDS = ("backup", "restore", "integrity", "heal", "janitor", "catalog-sync", "overdue")
HISTORY = "runs-history"
LOG_LINES = 400  # the newest, of a log that is looked at
BEGUN = {"manual": "by hand", "schedule": "by its schedule", "python": "from Python"}
TO_CANCEL = "runs-to-cancel"
LATE_SECONDS = 5.0  # that a line may come after a younger one


def draw(who: Identity) -> None:
    """The page: everything, or one run."""
    if asked := st.session_state.pop(TO_CANCEL, None):
        _cancel(asked)
    if name := st.query_params.get(table.NAME, ""):
        _one(who, name)
        return
    st.title("Runs")
    live(_at_hand, who, every=3)
    _history(who)


def _at_hand(who: Identity) -> None:
    found = runs.at_hand(who)
    at_work = [one for one in found if one.position is None]
    waiting = [one for one in found if one.position is not None]
    st.subheader("At work")
    for one in at_work:
        _at_work(who, one)
    if not at_work:
        st.caption("Nothing runs at the moment.")
    if waiting:
        st.subheader("Waiting, in their order")
        rows = [_waiting_row(one) for one in waiting]
        number = table.chosen(rows, [one.run_id for one in waiting], "runs-waiting")
        if number is not None:
            _buttons(who, waiting[number])


def _at_work(who: Identity, one: Run) -> None:
    with st.container(border=True):
        st.markdown(f"**{escaped(one.job)}** · {escaped(one.kind)}, {escaped(one.stage or one.state.value)}")
        _progress(one.progress)
        took = words.duration(int(one.seconds)) if one.seconds is not None else "just begun"
        st.caption(escaped(" · ".join(filter(None, [f"for {took}", _begun(one), one.host]))))
        _buttons(who, one)


def _begun(one: Run) -> str:
    return BEGUN.get(one.trigger, one.trigger)


def _progress(progress: Progress | None) -> None:
    if progress is None:
        return
    told = [progress.text]
    if progress.rate is not None:
        told.append(f"{words.size(progress.rate)}/s")
    if progress.seconds_left is not None:
        told.append(f"{words.duration(int(progress.seconds_left))} left")
    st.progress(min(max(progress.share, 0.0), 1.0), escaped(" · ".join(filter(None, told))))


def _buttons(who: Identity, one: Run, *, leads: bool = True) -> None:
    with st.container(horizontal=True):
        if leads and st.button("Steps and log", key=f"show-{one.run_id}", icon=":material/list:"):
            table.point_to(one.run_id)
            st.rerun()
        if May.JOBS_EXECUTE in who.permissions and st.button(
            "Cancel", key=f"cancel-{one.run_id}", icon=":material/cancel:"
        ):
            # Asked by the whole page: a dialog within a part that draws itself anew would die with it, unanswered.
            st.session_state[TO_CANCEL] = one
            st.rerun()


def _cancel(one: Run) -> None:
    def act(who: Identity) -> None:
        with st.spinner("Ending everything that belongs to the run …"):
            runs.cancel(who, one.run_id)

    does = f"The {one.kind} of {one.job} ends now. What it has not finished is removed; finished backups stay."
    confirm("Cancel this run?", does, act, button="Cancel the run")


def _waiting_row(one: Run) -> dict[str, object]:
    waits = figures.ago(one.queued_at, datetime.now(UTC), "") if one.queued_at else ""
    return {
        "Place": one.position,
        "Job": one.job,
        "Kind": one.kind,
        "Trigger": _begun(one),
        "Waits since": waits,
    }


def _history(who: Identity) -> None:
    st.subheader("What has ended")
    wanted = _filter()
    with problems.told():
        page = runs.ended(who, wanted, limit=paging.PAGE, offset=paging.current(HISTORY) * paging.PAGE)
        if not page.runs:
            st.caption("Nothing fits." if wanted != WantedRuns() else "Nothing has run yet.")
            return
        rows = [_ended_row(one) for one in page.runs]
        number = table.chosen(rows, [one.run_id for one in page.runs], f"{HISTORY}-{paging.current(HISTORY)}")
        paging.controls(HISTORY, page.total)
        if number is not None:
            table.point_to(page.runs[number].run_id)
            st.rerun()


def _filter() -> WantedRuns:
    def anew() -> None:
        paging.rewind(HISTORY)

    finals = [state for state in RunState if state.is_final]
    kinds, states, job, source = st.columns([2, 4, 3, 3])
    kind = kinds.selectbox("Kind", ["", *KINDS], key="runs-kind", on_change=anew, format_func=_any)
    ended = states.multiselect(
        "States", finals, key="runs-states", on_change=anew, placeholder="any", format_func=lambda state: state.value
    )
    of_job = job.text_input("Job", key="runs-job", on_change=anew, placeholder="any").strip()
    of_source = source.text_input("Source", key="runs-source", on_change=anew, placeholder="any").strip()
    return WantedRuns(kind or "", of_job, tuple(ended), source=of_source)


def _any(text: str) -> str:
    return text or "any"


def _ended_row(one: Run) -> dict[str, str]:
    return {
        "State": figures.state(one.state),
        "Job": one.job,
        "Kind": one.kind,
        "Source": one.source,
        "Began": figures.moment(one.started_at),
        "Took": words.duration(int(one.seconds)) if one.seconds is not None else "",
        "Trigger": _begun(one),
        "What came of it": one.summary or one.error.partition("\n")[0],
    }


def _one(who: Identity, name: str) -> None:
    if st.button("All runs", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    found = runs.show(who, name)
    st.title(f"{found.run.kind.capitalize()} of {escaped(found.run.job)}")
    if found.run.state.is_final:
        _details(who, found)
    else:
        live(lambda now: _following(now, name), who, every=2)


def _following(who: Identity, name: str) -> None:
    found = runs.show(who, name)
    if found.run.state.is_final:
        st.rerun()  # the whole page, which then stands still
    _details(who, found)


def _details(who: Identity, found: RunDetails) -> None:
    run = found.run
    _facts(run)
    _progress(run.progress)
    if not run.state.is_final:
        _buttons(who, run, leads=False)
    if run.error:
        st.error(escaped(run.error), icon=":material/error:")
    if found.page and who.administrator:
        st.link_button("Its page in Prefect", found.page, icon=":material/open_in_new:", type="tertiary")
    if found.steps:
        st.subheader("Steps")
        st.dataframe(pd.DataFrame([_step_row(step) for step in found.steps]), hide_index=True)
    _log(who, found)


def _facts(run: Run) -> None:
    with st.container(horizontal=True):
        st.metric("State", figures.state(run.state), border=True)
        st.metric("Began", figures.ago(run.started_at, datetime.now(UTC), "not yet"), border=True)
        st.metric("Took", words.duration(int(run.seconds)) if run.seconds is not None else "-", border=True)
    whose = [f"of {run.source}" if run.source else "", f"into {run.target}" if run.target else ""]
    told = [run.summary, run.stage, *whose, _begun(run), run.host]
    st.caption(escaped(" · ".join(filter(None, told))))


def _step_row(step: Step) -> dict[str, str]:
    return {
        "State": figures.state(step.state),
        "Step": step.name,
        "Took": words.duration(step.seconds) if step.seconds is not None else "",
        "What went wrong": step.error.partition("\n")[0],
    }


def _log(who: Identity, found: RunDetails) -> None:
    """The newest lines. What has been read already is kept, so that a log that is followed is not read anew."""
    known: dict[str, LogLine] = st.session_state.setdefault(f"log-{found.run.run_id}", {})
    newest = max((line.at for line in known.values()), default=None)
    since = newest and datetime.fromtimestamp(newest.timestamp() - LATE_SECONDS, UTC)
    known |= {line.line_id: line for line in runs.logs(who, found.run.run_id, since)}
    st.subheader("Log")
    if not known:
        st.caption("There are no lines.")
        return
    lines = sorted(known.values(), key=lambda line: line.at)[-LOG_LINES:]
    with st.container(height=360, autoscroll=True):
        st.code(
            "\n".join(f"{line.at:%H:%M:%S} {line.level:<7} {line.text}" for line in lines),
            language=None,
            wrap_lines=True,
        )
