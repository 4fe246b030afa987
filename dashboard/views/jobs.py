"""Jobs: what is backed up, when it runs, how it went; to make one, change it, run it, pause it, clone it, forget it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from actions import jobs, queue
from actions.door import Identity
from core.jobs import DEFAULT_QUEUE, JobSpec
from core.permissions import Permission as May
from dashboard import links
from dashboard.components import figures, job_form, problems, table
from dashboard.components.dialogs import confirm, dialog
from dashboard.components.job_form import Choices
from dashboard.components.live import live
from dashboard.components.problems import escaped
from db.executions import Execution
from deployments.schedules import Timetable

NEW, EDIT = "new", "edit"
FORM = "form"  # the parameter of the address that opens the form
_DONE = "jobs-done"  # what to say at the top after the page was drawn anew


@dataclass(frozen=True)
class Job:
    """A job with its schedule and its last run."""

    spec: JobSpec
    timetable: Timetable | None
    last: Execution | None

    @property
    def state(self) -> str:
        """Whether it runs by itself."""
        if self.timetable is None:
            return "○ by hand"
        return "⏸ paused" if self.timetable.paused else "▸ scheduled"

    @property
    def next_run(self) -> datetime | None:
        """When it runs by itself next."""
        return next(iter(self.timetable.next_times), None) if self.timetable else None


def draw(who: Identity) -> None:
    """The page: the list, or the form of one job."""
    form, name = st.query_params.get(FORM, ""), st.query_params.get(table.NAME, "")
    if form in (NEW, EDIT) and May.JOBS_WRITE in who.permissions:
        _form(who, name if form == EDIT else None)
    else:
        _list(who)


def _list(who: Identity) -> None:
    may_write = May.JOBS_WRITE in who.permissions
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Jobs")
        if may_write and st.button("Create a job", icon=":material/add:", type="primary"):
            st.query_params[FORM] = NEW
            st.rerun()
    if done := st.session_state.pop(_DONE, ""):
        st.success(escaped(done), icon=":material/check:")
    found, last = jobs.everything(who), jobs.last_runs(who)
    for one in found.unreadable:
        _unreadable(one.name, one.problem, one.hint, may_write=may_write)
    every = [Job(spec, found.timetables.get(spec.name), last.get(spec.name)) for spec in found.readable]
    if not every:
        with st.container(border=True):
            st.markdown("No job is saved yet. Create one: it says what is backed up, where to, and when.")
        return
    number = table.chosen([_row(one) for one in every], [one.spec.name for one in every], "jobs")
    if number is None:
        st.caption("Choose a job in the table to run, change or pause it.")
    else:
        _panel(who, every[number])


def _unreadable(name: str, problem: str, hint: str, *, may_write: bool) -> None:
    with st.container(border=True):
        st.markdown(f":material/error: **The job {escaped(name)} cannot be read**: {escaped(problem)}")
        st.caption(escaped(hint))
        if may_write and st.button("Delete it", key=f"delete-{name}", icon=":material/delete:"):
            _delete(name)


def _row(one: Job) -> dict[str, str]:
    now, last = datetime.now(UTC), one.last
    return {
        "State": one.state,
        "Job": one.spec.name,
        "Source": one.spec.source,
        "To": ", ".join(one.spec.destinations),
        "Last run": figures.state(last.state) if last else "none yet",
        "When": figures.ago(last.started_at, now) if last else "",
        "Next run": figures.ago(one.next_run, now, ""),
        "Schedule": str(one.timetable or ""),
    }


def _panel(who: Identity, one: Job) -> None:
    with st.container(border=True):
        st.subheader(escaped(one.spec.name))
        _facts(one)
        _buttons(who, one)


def _facts(one: Job) -> None:
    spec = one.spec
    databases = ", ".join(spec.databases) or (f"all but {', '.join(spec.exclude)}" if spec.exclude else "all databases")
    rules = [f"{name} ({spec.retention_at(name) or 'keeps everything'})" for name in map(str, spec.destinations)]
    times = one.timetable.next_times if one.timetable else ()
    facts = {
        "What": f"{spec.source}: {databases}",
        "Where to": ", ".join(rules),
        "How": f"{spec.compression}, " + (f"encrypted with {spec.profile}" if spec.profile else "not encrypted"),
        "Next": " · ".join(f"{at:%a %d %b %H:%M}" for at in times) or ("paused" if one.timetable else "by hand only"),
        "Who is told": ", ".join(map(str, spec.notify)) or "nobody",
        "Last run": f"{one.last.summary or one.last.error or one.last.state.value}" if one.last else "none yet",
    }
    st.markdown("\n".join(f"- **{title}**: {escaped(text)}" for title, text in facts.items()))


def _buttons(who: Identity, one: Job) -> None:
    name = one.spec.name
    with st.container(horizontal=True):
        if May.JOBS_EXECUTE in who.permissions and st.button("Run now", icon=":material/play_arrow:", type="primary"):
            with problems.told():
                _run(who, name)
        if May.JOBS_WRITE not in who.permissions:
            return
        if one.timetable and one.timetable.paused and st.button("Resume", icon=":material/resume:"):
            _do(f"The job {name} runs by itself again.", lambda: jobs.resume(who, name))
        if one.timetable and not one.timetable.paused and st.button("Pause", icon=":material/pause:"):
            _do(f"The job {name} is paused.", lambda: jobs.pause(who, name))
        if st.button("Edit", icon=":material/edit:"):
            st.query_params.update({FORM: EDIT, table.NAME: name})
            st.rerun()
        if st.button("Clone", icon=":material/content_copy:"):
            dialog(f"Clone {escaped(name)}", lambda now: _clone(now, name), width="small")
        if st.button("Delete", icon=":material/delete:"):
            _delete(name)


def _run(who: Identity, name: str) -> None:
    """Put a run into the queue, and say what becomes of it."""
    run = jobs.enqueue(who, name)
    label = jobs.get(who, name).queue
    if queue.queue(who).serves(label):
        links.go("runs", name=run)
        _do(f"A run of {name} is in the queue.", lambda: None)
    wanted = "" if label == DEFAULT_QUEUE else f" --queue {label}"
    st.warning(f"The run is in the queue, but nothing takes from it: start the system with dbackup up{wanted}.")


def _do(done: str, act: Callable[[], None]) -> None:
    """Do something and draw the page anew, with a sentence about it."""
    with problems.told():
        act()
        st.session_state[_DONE] = done
        st.rerun()


def _clone(who: Identity, name: str) -> None:
    with st.form("clone", border=False):
        st.caption("The clone does what this job does, and starts paused.")
        copy = st.text_input("Name of the clone *", f"{name}-copy", key="clone-name").strip()
        if st.form_submit_button("Clone", type="primary"):
            with problems.told():
                jobs.clone(who, name, copy)
                table.point_to(copy)
                st.session_state[_DONE] = f"The job {copy} is saved."
                st.rerun()


def _delete(name: str) -> None:
    def act(who: Identity) -> None:
        jobs.delete(who, name)
        st.query_params.clear()
        st.session_state[_DONE] = f"The job {name} is deleted. Its backups stay."

    does = "It runs no more, and its schedule is gone. Its backups stay where they are, and so does its history."
    confirm(f"Delete {escaped(name)}?", does, act, button="Delete")


def _form(who: Identity, name: str | None) -> None:
    if st.button("All jobs", icon=":material/arrow_back:", type="tertiary"):
        _close()
    st.title(f"Edit {escaped(name)}" if name else "Create a job")
    spec = jobs.get(who, name) if name else None
    timetable = jobs.timetable(who, name) if name else None
    choices = Choices.of(who, spec)
    if missing := [word for word, one in (("source", choices.sources), ("storage", choices.storages)) if not one]:
        st.info(f"A job needs a saved {' and a saved '.join(missing)} first.", icon=":material/info:")
        links.link("sources" if "source" in missing else "storage", f"Add a {missing[0]}", "add")
        return
    if timetable and not timetable.cron:
        st.info(f"Its schedule was made in Prefect: {escaped(str(timetable))}. It stays unless you choose another.")

    def part(now: Identity) -> None:
        if saved := job_form.draw(now, spec, timetable.cron if timetable else "", choices):
            st.session_state[_DONE] = f"The job {saved} is saved."
            _close(saved)

    live(part, who)


def _close(name: str | None = None) -> None:
    """Back to the list, where ``name`` is chosen."""
    st.query_params.pop(FORM, None)
    if name:
        table.point_to(name)
    st.session_state.pop(job_form.LISTED, None)
    st.rerun()
