"""A run in the queue, as it goes: what state it is in, and its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import streamlit as st

from actions.door import Identity
from core import words
from core.states import RunState
from dashboard.components.live import live
from dashboard.components.problems import escaped

if TYPE_CHECKING:
    from core.runs import Step
    from deployments.requests import Requested

_COLORS = {
    RunState.SUCCESS: ("green", "check_circle"),
    RunState.PARTIAL: ("orange", "warning"),
    RunState.RUNNING: ("blue", "progress_activity"),
    RunState.PENDING: ("blue", "hourglass_empty"),
    RunState.CANCELLED: ("gray", "cancel"),
}
EVERY = 2.0  # seconds between two looks
LAST_STEPS = 12  # the newest of them are shown


class Watched(Protocol):
    """What somebody asked for, and the run of it."""

    @property
    def run(self) -> Requested: ...


W = TypeVar("W", bound=Watched)


def watch(look: Callable[[Identity], W], draw: Callable[[W], None], who: Identity) -> None:
    """Draw a run, again and again until it is over; then the whole page once more, which the run may have changed."""
    found = look(who)
    if found.run.state.is_final:
        draw(found)
        return

    def part(visitor: Identity) -> None:
        now = look(visitor)
        if now.run.state.is_final:
            st.rerun()
        draw(now)

    live(part, who, every=EVERY)


def badge(state: RunState) -> str:
    """A state as Markdown, with a sign beside its colour."""
    color, icon = _COLORS.get(state, ("red", "error"))
    return f":{color}-badge[:material/{icon}: {state.value}]"


def progress(run: Requested) -> None:
    """How far a run is that may not have begun yet."""
    if run.state is RunState.PENDING and not run.served:
        st.warning(
            "Nobody takes from the queue, so this waits until the system is started: `dbackup up`.",
            icon=":material/warning:",
        )
    elif run.state is RunState.PENDING:
        st.caption("It waits for its turn in the queue. You can close this page: it goes on without you.")
    elif run.state is RunState.RUNNING:
        st.caption("It runs, and goes on when you close this page.")
    for step in run.steps[-LAST_STEPS:]:
        st.markdown(_step(step))
    if run.state.is_final and not run.state.is_good and run.run.error:
        st.error(escaped(run.run.error), icon=":material/error:")


def _step(step: Step) -> str:
    color, icon = _COLORS.get(step.state, ("red", "error"))
    took = f" :gray[{words.duration(step.seconds)}]" if step.state.is_final and step.seconds is not None else ""
    return f":{color}[:material/{icon}:] {escaped(step.name)}{took}"
