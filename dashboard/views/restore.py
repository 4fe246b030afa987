"""Restore: which backup, which databases under which names, into what; then what will happen, and only then the run.

Nothing is touched before the last click. The run is the queue's: it goes on when the browser is closed.
"""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from actions import inventory, restores
from actions.door import Identity
from actions.inventory import Detail
from actions.restores import Followed
from core import words
from core.jobs import Address, RestoreSpec
from dashboard.components import following
from dashboard.components.figures import moment
from dashboard.components.problems import escaped
from dashboard.views import restored
from db.inventory import Held, Wanted
from services.restore_plans import RestorePlan, Step

_OFFERED = 100  # backups of a job in the list; older ones are found on the page Backups
_URL = "Another address…"
_PLANNED = "restore-planned"  # what was looked at, and what was found


def draw(who: Identity) -> None:
    """The way to a restore, or the restore that the address names."""
    if run := st.query_params.get("run"):
        _follow(who, run)
        return
    st.title("Restore")
    found = _backup(who)
    if found is None:
        return
    wish = _wish(who, found)
    if wish is None:
        return
    if st.button("See what would happen", icon=":material/visibility:", type="primary"):
        with st.spinner("Looking at the backup and at the target"):
            st.session_state[_PLANNED] = (wish, restores.plan(who, wish))
    planned, plan = st.session_state.get(_PLANNED, (None, None))
    if plan is None:
        st.caption("Looking changes nothing.")
    elif planned != wish:
        st.caption("You have changed something: look again at what would happen.")
    else:
        _plan(who, wish, plan)


def _backup(who: Identity) -> Detail | None:
    """Step one: which backup."""
    st.subheader("1. Which backup")
    if backup_id := st.query_params.get("backup"):
        found = inventory.detail(who, backup_id)
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escaped(found.held.job)}**  \n{escaped(_told(found.held))}", width="stretch")
            if st.button("Choose another", type="tertiary"):
                st.query_params.clear()
                st.session_state.pop(_PLANNED, None)
                st.rerun()
        return found
    jobs = inventory.choices(who).jobs
    if not jobs:
        st.info("There is no backup yet, so there is nothing to restore.", icon=":material/inventory_2:")
        return None
    job = st.selectbox("Job", jobs, index=None if len(jobs) > 1 else 0, placeholder="Whose backup")
    if job is None:
        return None
    rows = inventory.search(who, Wanted(job=job), limit=_OFFERED).rows
    chosen = st.selectbox("Backup, newest first", rows, format_func=_told)
    if chosen is None:
        return None
    return inventory.detail(who, chosen.backup_id)


def _told(one: Held) -> str:
    missing = "" if one.complete else ", incomplete"
    return f"{moment(one.started_at)}, {words.size(one.dump_size)}, {', '.join(c.storage for c in one.copies)}{missing}"


def _wish(who: Identity, found: Detail) -> RestoreSpec | None:
    """Steps two and three: what of it, and into what. None while something is missing."""
    places = [copy.storage for copy in found.held.copies if Address(copy.storage).is_name]
    if not places:
        st.warning(
            "This backup lies on no saved storage. Save the storage first, or restore it on the command line.",
            icon=":material/warning:",
        )
        return None
    st.subheader("2. Which databases, under which names")
    names = _names(found)
    storage = st.selectbox("From the copy on", places) if len(places) > 1 else places[0]
    st.subheader("3. Into what")
    target = _target(who, found)
    owner, tampered = _options()
    if names is None or not target:
        return None
    try:
        return RestoreSpec(
            backup=found.held.backup_id,
            storage=Address(storage),
            target=Address(target),
            names=names,
            owner=owner,
            accept_tampered=tampered,
        )
    except ValidationError as error:
        st.error(escaped(error.errors(include_input=False)[0]["msg"]), icon=":material/error:")
        return None


def _names(found: Detail) -> dict[str, str] | None:
    """The databases that are wanted, each with its new name; none means all of them, under their own names."""
    held = [name for file in found.manifest.files for name in file.holds]
    if len(held) == 1:
        return {held[0]: _new_name(held[0])}
    whole = "All of them, under their own names"
    if st.radio("Databases", [whole, "Some of them"], label_visibility="collapsed") == whole:
        st.caption(escaped(", ".join(held)))
        return {}
    chosen = st.multiselect("Databases", held, label_visibility="collapsed", placeholder="Choose databases")
    return {name: _new_name(name) for name in chosen} or None


def _new_name(name: str) -> str:
    return st.text_input(
        f"Restore {escaped(name)} as",
        value=f"{name}_restored",
        help="A new name leaves what is there today untouched. Empty: the name that it had, or that the target has.",
        key=f"restore-as-{name}",
    ).strip()


def _target(who: Identity, found: Detail) -> str:
    saved = list(restores.targets(who))
    choices = [*saved, _URL]
    own = choices.index(found.held.source) if found.held.source in saved else None
    chosen = st.selectbox("Target", choices, index=own, placeholder="A saved source", label_visibility="collapsed")
    if chosen != _URL:
        return chosen or ""
    return st.text_input(
        "Address", type="password", placeholder="engine://user:password@host/", help="It is sealed before it is stored."
    ).strip()


def _options() -> tuple[bool, bool]:
    with st.expander("Options"):
        owner = st.checkbox("Give everything back to its owners, with its grants", value=True)
        tampered = st.checkbox("Restore although somebody may have changed the backup", value=False)
    return owner, tampered


def _plan(who: Identity, wish: RestoreSpec, plan: RestorePlan) -> None:
    """Step four: what would happen, and the last click."""
    st.subheader("4. What will happen")
    with st.container(border=True):
        for step in plan.steps:
            _step(step)
        st.caption(escaped(_circumstances(plan)))
    for remark in plan.remarks:
        st.warning(escaped(remark), icon=":material/warning:")
    if plan.needed > plan.free:
        st.error(
            f"The download needs {words.size(plan.needed)}, and only {words.size(plan.free)} are free on this machine.",
            icon=":material/error:",
        )
    if not plan.is_possible:
        return
    if not _confirmed(plan):
        return
    label = "Overwrite" if plan.overwritten else "Restore now"
    if st.button(label, type="primary", icon=":material/settings_backup_restore:"):
        run = restores.start(who, wish.model_copy(update={"overwrite": bool(plan.overwritten)}))
        st.session_state.pop(_PLANNED, None)
        st.query_params.from_dict({"run": run})
        st.rerun()


def _step(step: Step) -> None:
    icon, color = ("warning", "orange") if step.exists else ("add_circle", "green")
    if step.problem:
        icon, color = "error", "red"
    st.markdown(f":{color}[:material/{icon}:] {escaped(step.sentence)}")
    if step.problem:
        st.error(f"{escaped(step.problem.reason)}  \n{escaped(step.problem.hint)}", icon=":material/error:")


def _circumstances(plan: RestorePlan) -> str:
    room = f" {words.size(plan.needed)} are downloaded first, {words.size(plan.free)} are free." if plan.needed else ""
    return (
        f"Backed up from {plan.source.engine} {plan.source.server_version}, restored into {plan.target}, "
        f"{plan.server.engine} {plan.server.version}.{room}"
    )


def _confirmed(plan: RestorePlan) -> bool:
    """Whoever overwrites something types its name."""
    typed = [
        st.text_input(f"Type {escaped(name)} to say that it may be overwritten", key=f"overwrite-{name}") == name
        for name in plan.overwritten
    ]
    return all(typed)


def _follow(who: Identity, run: str) -> None:
    if st.button("Another restore", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    following.watch(lambda visitor: restores.follow(visitor, run), _followed, who)


def _followed(found: Followed) -> None:
    st.title(f"Restore into {escaped(found.wish.target.shown)}")
    st.markdown(f"{following.badge(found.run.state)} backup {escaped(found.wish.backup)}")
    following.progress(found.run)
    if found.report:
        restored.draw(found.report)
