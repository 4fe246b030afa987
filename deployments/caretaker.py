"""What is looked after before a worker begins, and while a system runs: no dead run holds a place in the queue.

The latter is done in a thread of its own, so that a Prefect API that is slow, or away, holds up nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

from blocks.api import located, require_answer
from blocks.prefect_settings import changed_settings
from core.errors import DBackupError
from core.log import logger
from core.masking import mask
from deployments import jobs, missed, pool, system_schedules
from deployments.reconcile import LOOK_SECONDS, Watch

log = logger(service="caretaker")


class Caretaker:
    """Looks after the runs of a system, whose worker serves these labels of the queue."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._labels, self._watch, self._one = tuple(labels), Watch(), Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within this context it looks every few seconds. A look that has begun is not waited for."""
        over = Event()
        Thread(target=self._look_until, args=(over,), name="caretaker", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def prepare(self) -> None:
        """Do what must be done before a worker starts, so that no missed runs come at once.

        Raises ConnectionError when the Prefect API does not answer.
        """
        with self._one, _api():
            pool.ensure(self._labels)
            jobs.adopt()
            self._watch.look()
            try:
                system_schedules.ensure()
                missed.settle()
            except DBackupError as error:
                log.warning("could not look after the schedules", reason=error.message)

    def _look_until(self, over: Event) -> None:
        while not over.wait(LOOK_SECONDS):
            try:
                with self._one, _api():
                    self._watch.look()
            except DBackupError as error:
                log.warning("could not look after the runs", reason=error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may go well
                log.error("could not look after the runs", reason=mask(f"{type(error).__name__}: {error}"))


@contextmanager
def _api() -> Iterator[None]:
    """Within this context the API that answers is used, and no other is started. Raises ConnectionError."""
    api = require_answer()
    with changed_settings({**located(api), PREFECT_CLIENT_MAX_RETRIES: 1}):
        yield
