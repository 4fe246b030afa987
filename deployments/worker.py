"""``python -m deployments.worker LABEL…``: takes runs from the queue and carries each out in a process of its own.

It takes what waits under the labels that it is given, and nothing else, one run at a time so that other machines get
theirs; the oldest comes first whatever its label, and all workers together keep the queue's limit. When it could take
nothing for a while, for the API was away or the machine slept, what was missed is settled first: else all of it would
start. Told to end, it takes nothing more, cancels what runs, and waits until that is cleaned up. Where the API is comes
from ``PREFECT_API_URL``; the run's process gets this process' environment, so nothing of it stands in an argument list.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import anyio
import httpx
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import PrefectException
from prefect.states import Cancelling, Scheduled
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from core.errors import ConnectionError, DBackupError
from core.jobs import DEFAULT_QUEUE
from core.log import configure, logger
from core.settings import settings
from deployments.engine import ENGINE
from deployments.forks import Forks
from deployments.pool import POOL
from deployments.system import END_SECONDS
from tasks.heartbeat import BEAT, BEAT_SECONDS, here

_OURS = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
_TAKEN = FlowRunFilter(  # what Prefect counts, too
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
)
_UNREACHABLE = (PrefectException, httpx.HTTPError, OSError)
log = logger(service="worker")
AWAY_SECONDS = 60.0  # half of what a run may be late and still be on time


def _clock() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _settle() -> None:
    from deployments import missed  # with all the flows, which a worker does not need otherwise

    log.info("could take nothing for a while: settling what was missed", jobs=len(missed.settle()))


BY_ITSELF = command_to_string([sys.executable, "-m", ENGINE])


class RunConfiguration(ProcessJobConfiguration):
    """How a run is started: by the engine itself, for the flows are installed here.

    Without a command, Prefect first starts a process that looks for the files of the flow, and then imports all of
    itself once more.
    """

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        self.command = self.command or BY_ITSELF
        super().prepare_for_flow_run(*arguments, **named)


class Worker(ProcessWorker):
    """A process worker that knows what it runs, and ends in order."""

    job_configuration = RunConfiguration

    @classmethod
    def __dispatch_key__(cls) -> str:
        """A name of its own among Prefect's workers: it serves pools of its base's type, and takes nobody's place."""
        return f"{POOL}-{cls.type}"

    def __init__(self, name: str, labels: Sequence[str], clock: Callable[[], float] = _clock) -> None:
        super().__init__(work_pool_name=POOL, work_queues=list(labels), name=name, create_pool_if_not_found=False)
        self._mine: set[UUID] = set()
        self._ending = False
        self._clock = clock
        self._took_at = clock()
        self._forks = Forks()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take what waits, unless the end has come."""
        if self._ending or not await self._is_settled():
            return []
        taken = await super().get_and_submit_flow_runs()
        self._took_at = self._clock()
        return taken

    async def _is_settled(self) -> bool:
        """Settle what was missed when nothing could be taken for a while. False while the API is still away."""
        if self._clock() - self._took_at <= AWAY_SECONDS:
            return True
        try:
            await asyncio.to_thread(_settle)
        except ConnectionError as error:
            log.warning("takes nothing before what was missed is settled", reason=error.message)
            return False
        except DBackupError as error:
            log.warning("could not settle what was missed", reason=error.message)
        return True

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """The run that waits longest, if there is room for one: the next one is asked for in a moment.

        So who asks first does not take everything before others have asked. Of several labels, Prefect would give all
        that waits under one before the first of the next.
        """
        found = await super()._get_scheduled_flow_runs()
        if found and len(self._work_queues) > 1:
            soon = datetime.now(UTC) + timedelta(seconds=int(self._prefetch_seconds))
            of_each = [
                await self.client.get_scheduled_flow_runs_for_work_pool(POOL, [label], scheduled_before=soon)
                for label in self._work_queues
            ]
            found = sorted(chain(*of_each), key=_since)
        return found[:1]

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Carry out one run, and say on which machine that is."""
        self._mine.add(flow_run.id)
        vouching = asyncio.create_task(self._vouch_for(flow_run.id))
        try:
            if await self._is_one_too_many():
                return await self._put_back(flow_run, task_status)
            await self.client.update_flow_run_labels(flow_run.id, here())
            if configuration.command != BY_ITSELF:  # its pool says otherwise
                return await super().run(flow_run, configuration, task_status)
            with self._forks.command(configuration.env) as command:
                configuration.command = command_to_string(command)
                return await super().run(flow_run, configuration, task_status)
        finally:
            vouching.cancel()
            self._mine.discard(flow_run.id)

    async def _is_one_too_many(self) -> bool:
        """Whether the queue's limit is exceeded, now that we have taken a run.

        Prefect looks at the limit only when it tells what there is to take, so two workers that ask at the same time
        for different labels are both told of the last free place. Whoever of them looks last sees what both have taken.
        """
        try:
            limit = (await self.client.read_work_pool(POOL)).concurrency_limit
            if limit is None:
                return False
            taken = await self.client.read_flow_runs(work_pool_filter=_OURS, flow_run_filter=_TAKEN, limit=limit + 1)
        except _UNREACHABLE as error:  # better one run too many than one that is given up
            log.warning("could not look at the queue's limit", reason=type(error).__name__)
            return False
        return len(taken) > limit

    async def _put_back(self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[int] | None) -> ProcessWorkerResult:
        """Let a run wait again, in its old place."""
        log.info("put back, as others were quicker", run=flow_run.name)
        await self.client.set_flow_run_state(flow_run.id, Scheduled(scheduled_time=flow_run.next_scheduled_start_time))
        if task_status:
            task_status.started(0)
        return ProcessWorkerResult(identifier="", status_code=0)

    async def _vouch_for(self, flow_run_id: UUID) -> None:
        """Say that a run lives: on a busy machine its process may take minutes to come to where it says so itself."""
        while True:
            try:
                await self.client.update_flow_run_labels(flow_run_id, {BEAT: datetime.now(UTC).isoformat()})
            except _UNREACHABLE as error:
                log.debug("missed a beat", run=str(flow_run_id), reason=type(error).__name__)
            await asyncio.sleep(BEAT_SECONDS)

    async def end(self) -> None:
        """Cancel what runs, and wait until it is cleaned up."""
        self._ending = True
        log.info("ending", runs=len(self._mine))
        for flow_run_id in tuple(self._mine):
            try:
                await self.client.set_flow_run_state(flow_run_id, Cancelling(message="dbackup was told to end"))
            except (PrefectException, OSError) as error:
                log.warning("could not cancel a run", run=str(flow_run_id), reason=str(error))
        with anyio.move_on_after(END_SECONDS):
            while self._mine:
                await anyio.sleep(0.1)


def _since(found: WorkerFlowRunResponse) -> tuple[datetime, UUID]:
    """Since when a run waits; its id tells it from another one of the same moment, everywhere alike."""
    return found.flow_run.next_scheduled_start_time or datetime.max.replace(tzinfo=UTC), found.flow_run.id


async def _serve(labels: Sequence[str]) -> None:
    worker, loop = Worker(socket.gethostname(), labels), asyncio.get_running_loop()
    serving = asyncio.create_task(worker.start(printer=log.info))
    ending: list[asyncio.Task[Any]] = []

    async def end() -> None:
        await worker.end()
        serving.cancel()

    def told() -> None:
        if not ending:
            ending.append(asyncio.create_task(end()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("ended")


def main(labels: Sequence[str]) -> None:
    """Work until told to end. Prefect reads its settings when it is imported, so the caller has set them."""
    os.umask(0o077)
    configure(settings().log_level)
    asyncio.run(_serve(labels))


if __name__ == "__main__":
    main(sys.argv[1:] or [DEFAULT_QUEUE])
