"""Every job, as a process that shows them again and again remembers them.

Reading a thousand jobs takes Prefect seconds. Only a process that keeps itself up to date remembers any, and only where
there are many; everywhere else each look reads them all. What this program changes of a job, on whichever machine, is
numbered in the catalog, and is seen by the next look. What somebody changes in Prefect itself is seen when all are
read anew: after half a minute, or after twenty times as long as reading takes, at most ten minutes. When few have
become many, the first look at them is the last that reads them all.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from blocks.api import answering
from core.errors import DBackupError
from core.log import logger
from deployments import jobs
from deployments.client import prefect_client
from deployments.jobs import Jobs, SavedJob
from services.records import job_changes

MANY = 100  # jobs; fewer are read each time
SHORTEST, LONGEST = 30.0, 600.0  # seconds between two readings of everything
SELDOM = 3600.0  # seconds until it is looked whether there are many by now
SHARE = 20  # of which one reading takes one part
MOST_CHANGED = 20  # jobs that are looked at one by one
log = logger(service="jobs")


@dataclass(frozen=True)
class _Memory:
    """The jobs by name, and the newest change that they show."""

    saved: dict[str, SavedJob]
    number: int


class KnownJobs:
    """What one process knows of the jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: _Memory | None = None
        self._until = 0.0  # on the monotonic clock: what was read longest ago is not used after this
        self._remembers = False
        self._read_once = threading.Event()
        self._many = threading.Event()  # somebody who asked has just read many

    def everything(self) -> Jobs:
        """Every job, as :func:`deployments.jobs.everything`. Raises ConnectionError and ConfigurationError."""
        if self._remembers:
            self._read_once.wait(LONGEST)
        with self._lock:
            if (memory := self._current()) is not None:
                self._memory = memory = _with_changes(memory)
        if memory is not None:
            return Jobs.of(memory.saved.values())
        found = jobs.everything()
        with self._lock:
            if len(found.readable) + len(found.unreadable) >= MANY and self._current() is None:
                self._many.set()
        return found

    def _current(self) -> _Memory | None:
        """What is remembered, unless it was read too long ago; for whoever holds the lock."""
        return self._memory if time.monotonic() < self._until else None

    def remember(self) -> None:
        """Read all jobs now, in a thread, and again and again for as long as the process lives and there are many.

        Whoever asks before the first time is over waits for it. No Prefect server is started for this.
        """
        self._remembers = True
        threading.Thread(target=self._remember, name="jobs", daemon=True).start()

    def _remember(self) -> None:
        while True:
            try:
                pause = self._read() if answering() is not None else SHORTEST
            except DBackupError as error:
                log.warning("jobs cannot be read", reason=error.message)
                pause = SHORTEST
            finally:
                self._read_once.set()
            self._many.wait(pause)
            self._many.clear()

    def _read(self) -> float:
        """Read all jobs anew, and give after how many seconds that is to be done again."""
        began = time.monotonic()
        number = job_changes().newest()  # before the jobs: what is changed meanwhile is looked at once more
        with prefect_client() as client:
            found = {one.name: one for one in jobs.every_saved(client)}
        pause = min(max(SHORTEST, SHARE * (time.monotonic() - began)), LONGEST)
        with self._lock:
            self._memory = _Memory(found, number) if len(found) >= MANY else None
            self._until = time.monotonic() + 2 * pause
        return pause if self._memory else SELDOM


def _with_changes(memory: _Memory) -> _Memory:
    """The memory, with those jobs looked at again that were changed since."""
    changed = job_changes().since(memory.number)
    if not changed:
        return memory
    found = dict(memory.saved)
    with prefect_client() as client:
        if len(changed) > MOST_CHANGED:
            found = {one.name: one for one in jobs.every_saved(client)}
        for name in changed if len(changed) <= MOST_CHANGED else ():
            found.pop(name, None)
            if one := jobs.saved(client, name):
                found[name] = one
    return _Memory(found, max(changed.values()))


known = KnownJobs()
