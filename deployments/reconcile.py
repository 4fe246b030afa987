"""Runs that nobody carries out any longer: found, and given a final state, so that their slots are free.

A worker that is killed together with its runs leaves them "running" for ever. Two rules find them:

- A run of this home holds a folder here for as long as its process lives: without that, it is dead, at once.
- Any other run, of another machine or not yet begun, is dead when it has shown no sign of life for so many seconds as
  the setting ``lost_after`` says: neither its state nor its beat has changed, while we were watching. Seconds are
  counted by our own clock, and from anew when we could not look for a while: an outage of the Prefect API makes nobody
  dead.

A run whose process is stopped, or only starting, shows no sign; its worker and its home then give one for it. Whoever
was taken for dead wrongly, for its whole machine was cut off, tells of its own end later, and that counts.

A run that is told to end by nobody but Prefect, because its worker is gone, is ended here. One that ended before it
was recorded is recorded here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelled, Crashed

from core.log import logger
from core.settings import settings
from deployments import processes
from deployments.client import prefect_client
from deployments.unrecorded import Unrecorded
from tasks import heartbeat
from tasks.bookkeeping import mark_crashed, note_lost
from tasks.late_states import OPEN, settle

LOOK_SECONDS = 15.0  # between two looks
WORKER_SECONDS = 12.0  # that the worker of a cancelled run has for ending it
RUN_SECONDS = 25.0  # that the run has for ending in order, when it is told here
_BLIND = 3 * LOOK_SECONDS  # between two looks: signs may have been missed
_PAGE = 200
log = logger(service="reconcile")


@dataclass
class Silence:
    """The last sign of life of a run, and since when there was no other, in seconds of our own clock."""

    sign: object
    since: float


@dataclass
class Watch:
    """Looks at the open runs again and again, and remembers when each last showed a sign of life."""

    clock: Callable[[], float] = time.monotonic
    _silences: dict[UUID, Silence] = field(default_factory=dict)
    _cancelled: dict[UUID, float] = field(default_factory=dict)  # since when its end is waited for
    _looked_at: float = float("-inf")
    _unrecorded: Unrecorded = field(default_factory=Unrecorded)

    def look(self) -> list[str]:
        """End the runs that are dead, and give their names. Raises ConnectionError when Prefect cannot be asked."""
        mark_crashed()
        settle()
        with prefect_client() as client:
            runs = list(_open_runs(client))  # before the processes: what begins in between is not judged
            self._forget(runs)
            living = {*heartbeat.living(), *(run for _, run in processes.carried_out())}
            dead = [run for run in runs if self._is_dead(client, run, lives=str(run.id) in living)]
            self._looked_at = self.clock()
            ended = [run.name for run in dead if _ended(client, run)]
            self._unrecorded.note(client)
            return ended

    def _forget(self, runs: list[FlowRun]) -> None:
        """Remember nothing of runs that are over, nor of a time in which we did not look."""
        if self.clock() - self._looked_at > _BLIND:
            self._silences.clear()
        still = {run.id for run in runs}
        self._silences = {run: silence for run, silence in self._silences.items() if run in still}
        self._cancelled = {run: since for run, since in self._cancelled.items() if run in still}

    def _is_dead(self, client: SyncPrefectClient, run: FlowRun, *, lives: bool) -> bool:
        seconds = self._silent(run)
        if lives:
            if seconds > heartbeat.BEAT_SECONDS:
                heartbeat.beat(client, run.id)
            self._end_when_cancelled(run)
            return False
        begun = run.state is not None and not run.state.is_pending()  # before that its worker may be making its process
        return (begun and heartbeat.is_of_this_home(run.labels)) or seconds > settings().lost_after

    def _end_when_cancelled(self, run: FlowRun) -> None:
        """A worker ends what it has started. When it is gone, the run is told here, and then made to end."""
        if not run.state or not run.state.is_cancelling():
            return
        seconds = self.clock() - self._cancelled.setdefault(run.id, self.clock())
        if seconds < WORKER_SECONDS or (process := processes.of_run(str(run.id))) is None:
            return
        if not processes.has_worker(process):
            log.warning("a cancelled run is ended, as no worker does", run=run.name)
            os.kill(process, signal.SIGKILL if seconds >= WORKER_SECONDS + RUN_SECONDS else signal.SIGTERM)

    def _silent(self, run: FlowRun) -> float:
        """For how many seconds a run has shown no sign of life."""
        sign, now = (run.state and run.state.id, run.labels.get(heartbeat.BEAT)), self.clock()
        known = self._silences.get(run.id)
        if known is None or known.sign != sign:
            self._silences[run.id] = Silence(sign, now)
            return 0.0
        return now - known.since


def _ended(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Give a dead run its final state; false when it has got one meanwhile, which is then left."""
    state: State[None] = Crashed(message="its process ended without a word")
    if run.state and run.state.is_cancelling():
        state = Cancelled(message="its process is gone")
    if client.set_flow_run_state(run.id, state).status is not SetStateStatus.ACCEPT:
        return False
    note_lost(str(run.id))
    log.warning("a run had died without a word", run=run.name)
    return True


def _open_runs(client: SyncPrefectClient) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN)))
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)
