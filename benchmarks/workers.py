"""``python -m benchmarks.workers``: how much several workers get done, and what a long schedule costs.

Everything runs on this one machine: Prefect's server on PostgreSQL, and each worker in a home of its own. So workers
share its cores, and what is to be learned is the servers' part: how many runs they could keep up with. Their CPU is
that of Prefect's processes and of PostgreSQL's, which has the catalog, too. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from benchmarks.report import table
from core.jobs import Address, JobSpec
from deployments import jobs, missed, pool, queued
from deployments.client import prefect_client
from deployments.reconcile import Watch
from deployments.schedules import cron_schedule
from tests.machines import Servers, servers_up, using
from tests.servers.proxy import LOOPBACK
from tests.system import COMMAND, system_up

OPEN = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]))
IDLE_SECONDS = 20.0  # in which nobody has anything to do
AT_ONCE = 2  # runs, for each worker
PATIENCE = 3600.0  # seconds
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What the servers have cost from a moment on: seconds of wall clock, and of CPU for both together."""

    wall: float
    cpu: float

    @property
    def share(self) -> str:
        """How much of one core they took."""
        return f"{self.cpu / self.wall:.0%}"


class Meter:
    """The servers' CPU and memory, as the kernel counts them."""

    def __init__(self, servers: Servers) -> None:
        self._prefect, self._database = servers.process.pid, servers.database.process.pid
        self._begun = self._now()

    def cost(self) -> Cost:
        """Since this was made."""
        now = self._now()
        return Cost(now.wall - self._begun.wall, now.cpu - self._begun.cpu)

    def memory(self) -> float:
        """MiB that Prefect's server holds now."""
        pages = sum(int((one / "statm").read_text().split()[1]) for one in _family(self._prefect))
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def _now(self) -> Cost:
        return Cost(time.monotonic(), _cpu(self._prefect) + _cpu(self._database))


def _family(process: int) -> Iterator[Path]:
    """A process and all below it."""
    yield Path(f"/proc/{process}")
    with suppress(OSError):  # it ended just now
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _cpu(process: int) -> float:
    """Seconds that a process, all below it, and those that they have waited for, have taken."""
    ticks = 0
    for one in _family(process):
        with suppress(OSError):
            ticks += sum(map(int, (one / "stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / TICKS


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description="Workers and schedules.")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4], help="how many at once (1 2 4)")
    parser.add_argument("--runs", type=int, default=24, help="small jobs for each of these (24)")
    parser.add_argument("--schedule", type=int, default=1000, help="jobs in the schedule (1000)")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbackup-bench-") as folder, _in_use(Path(folder)) as (servers, shared):
        worked = [_worked(servers, shared, Path(folder), count, wish.runs) for count in wish.workers]
        scheduled = _scheduled(servers, wish.schedule) if wish.schedule else ""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(*filter(None, [_throughput(worked), scheduled, f"load average at the end: {load}"]), sep="\n\n")


@contextmanager
def _in_use(folder: Path) -> Iterator[tuple[Servers, dict[str, str]]]:
    """The servers, of which this process is a user, with a small database and a folder that are saved."""
    with servers_up(folder) as servers:
        shared = {**servers.shared(LOOPBACK), "DBACKUP_ENCRYPTION_KEY": token_hex(32)}
        with using(folder / "ours", shared):
            with closing(sqlite3.connect(folder / "small.db")) as connection, connection:
                connection.execute("CREATE TABLE notes AS SELECT 'one' AS note")
            saved.add_source(LOCAL_ADMINISTRATOR, "small", f"sqlite:///{folder}/small.db")
            saved.add_storage(LOCAL_ADMINISTRATOR, "folder", f"file://{folder}/backups")
            yield servers, shared


Row = tuple[str, ...]


def _worked(servers: Servers, shared: dict[str, str], folder: Path, count: int, runs: int) -> Row:
    """How long so many workers take for so many runs of different jobs, and what the servers do meanwhile."""
    names = [f"with-{count}-{number}" for number in range(runs)]
    for name in names:
        jobs.create(_job(name))
    pool.set_limit(AT_ONCE * count)
    with ExitStack() as stack:
        for number in range(count):
            home = folder / f"{count}-{number}" / "home"
            home.mkdir(parents=True)
            stack.enter_context(system_up(home, "--worker", **shared))
        meter = Meter(servers)
        time.sleep(IDLE_SECONDS)
        idle = meter.cost()
        meter = Meter(servers)
        ids = [UUID(queued.put(name)) for name in names]
        _wait_until(lambda: _count(ids) == 0)
        busy = meter.cost()
    for name in names:
        jobs.delete(name)
    return (str(count), f"{runs / busy.wall * 60:.1f}", f"{busy.cpu / runs:.2f}", busy.share, idle.share)


def _job(name: str) -> JobSpec:
    return JobSpec(name=name, source=Address("small"), destinations=(Address("folder"),))


def _count(ids: Sequence[UUID] | None = None) -> int:
    """How many runs have not ended: of these, or of all."""
    chosen = FlowRunFilterId(any_=list(ids)) if ids else None
    with prefect_client() as client:
        return client.count_flow_runs(flow_run_filter=FlowRunFilter(id=chosen, state=OPEN))


def _wait_until(condition: Callable[[], bool]) -> None:
    """Look now and then, so seldom that it costs the servers next to nothing."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {PATIENCE:.0f} seconds")
        time.sleep(1)


def _throughput(rows: Sequence[Row]) -> str:
    heads = ("workers", "runs/min", "servers' CPU s per run", "servers' CPU, busy", "servers' CPU, idle")
    return table(heads, rows) if rows else ""


def _scheduled(servers: Servers, count: int) -> str:
    """What it costs that so many jobs run by themselves, every day."""
    meter = Meter(servers)
    before = meter.memory()
    made = _timed(lambda: jobs.create(_job("daily"), "0 0 * * *"))
    with prefect_client() as client:
        daily = jobs.deployment(client, "daily")
        for number in range(1, count):
            _copy(client, daily, number)
    _wait_until(lambda: _count() >= count)  # Prefect has planned a run of each
    rows = [
        ("the first job, without the command's own start", made),
        ("`dbackup job list`, the whole command", _timed(_list)),
        ("a look for dead runs", _timed(Watch().look)),
        ("before a worker starts: labels compared", _timed(jobs.adopt)),
        ("before a worker starts: missed runs settled", _timed(missed.settle)),
        ("memory of Prefect's server, before and after", f"{before:.0f} → {meter.memory():.0f} MiB"),
    ]
    idle = Meter(servers)
    time.sleep(IDLE_SECONDS)
    return table((f"{count:,} jobs in the schedule", ""), [*rows, ("servers' CPU, idle", idle.cost().share)])


def _copy(client: SyncPrefectClient, daily: DeploymentResponse, number: int) -> None:
    """Another job like it, at another time of the day: quicker than by making it as a person does."""
    name = f"{daily.name}-{number:04}"
    client.create_deployment(
        daily.flow_id,
        name,
        schedules=[DeploymentScheduleCreate(schedule=cron_schedule(f"{number % 60} {number // 60 % 24} * * *", "UTC"))],
        parameters={"job": _job(name).model_dump(mode="json"), "trigger": "schedule"},
        tags=[jobs.TAG],
        work_pool_name=pool.POOL,
        concurrency_limit=1,
        entrypoint=daily.entrypoint,
    )


def _list() -> None:
    subprocess.run([COMMAND, "job", "list"], check=True, stdout=subprocess.DEVNULL)


def _timed(act: Callable[[], object]) -> str:
    started = time.monotonic()
    act()
    return f"{time.monotonic() - started:.1f} s"


if __name__ == "__main__":
    main()
