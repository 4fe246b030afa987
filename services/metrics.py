"""What Prometheus is told: facts of the catalog, each read when it is asked for, by as many queries as there are facts.

Names follow Prometheus' conventions: base units, ``_total`` for what only grows, moments as ``_timestamp_seconds``.
What is not known of a job has no line, rather than a zero that an alert would take for a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from core.naming import job_slug
from core.states import RunState
from db.inventory import Held
from services.backups import saved_job
from services.freshness import Freshness
from services.records import executions, inventory, owed_copies

KINDS = ("backup", "restore", "integrity", "heal", "janitor", "catalog-sync", "overdue")


@dataclass(frozen=True)
class Watch:
    """How fresh each saved job is, and how many cannot be read; what only Prefect knows, so it may be missing."""

    jobs: Sequence[Freshness]
    unreadable: int


class Facts(Collector):
    """Everything that is measured. ``watch`` is None while Prefect does not answer."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Each metric, read now. Raises ConfigurationError when the catalog fails."""
        yield InfoMetricFamily("dbackup", "The program.", {"version": version("dbackup")})
        yield _gauge("dbackup_prefect_up", "Whether the Prefect API answers.", (), [((), float(bool(self._watch)))])
        yield from _backups()
        yield from _runs()
        yield from _storages()
        if self._watch:
            yield from _watched(self._watch)


def registry(watch: Watch | None) -> CollectorRegistry:
    """A registry that holds nothing but :class:`Facts`."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Facts(watch))
    return found


Samples = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, documentation: str, labels: Sequence[str], samples: Samples) -> Metric:
    metric = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric


def _backups() -> Iterator[Metric]:
    """The newest good backup of each job, and what was proven since."""
    newest, verified = _by_job(inventory().newest_complete()), inventory().last_passed()
    restored = executions().newest_of_each_job("restore", state=RunState.SUCCESS)
    succeeded = executions().newest_of_each_job("backup", state=RunState.SUCCESS)
    yield _gauge(
        "dbackup_job_last_success_timestamp_seconds",
        "When the newest backup was taken that misses nothing.",
        ("job",),
        [((job,), one.started_at.timestamp()) for job, one in newest.items()],
    )
    yield _gauge(
        "dbackup_job_last_success_stored_bytes",
        "Size of one copy of that backup.",
        ("job",),
        [((job,), one.size) for job, one in newest.items()],
    )
    yield _gauge(
        "dbackup_job_last_success_dump_bytes",
        "Size of that backup before it was compressed.",
        ("job",),
        [((job,), one.dump_size) for job, one in newest.items()],
    )
    yield _gauge(
        "dbackup_job_last_success_duration_seconds",
        "How long the last successful run took.",
        ("job",),
        [
            ((job,), (run.finished_at - run.started_at).total_seconds())
            for job, run in succeeded.items()
            if run.started_at and run.finished_at
        ],
    )
    yield _gauge(
        "dbackup_job_last_verified_timestamp_seconds",
        "When a backup of the job last passed an integrity check.",
        ("job",),
        [((job,), verified[one.slug].timestamp()) for job, one in newest.items() if one.slug in verified],
    )
    yield _gauge(
        "dbackup_job_last_restored_timestamp_seconds",
        "When a backup of the job was last restored and compared with its manifest.",
        ("job",),
        [((job,), run.finished_at.timestamp()) for job, run in restored.items() if run.finished_at],
    )


def _by_job(newest: dict[str, Held]) -> dict[str, Held]:
    """By the name of the job, which is what a label says. Of two with one name the saved job counts, else the newer."""
    found: dict[str, Held] = {}
    for one in sorted(newest.values(), key=lambda one: (_is_saved(one), one.started_at)):
        found[one.job] = one
    return found


def _is_saved(one: Held) -> bool:
    reference = saved_job(one.job)
    return one.slug == job_slug(reference.name, reference.id)


def _runs() -> Iterator[Metric]:
    counted = executions().by_state()
    ended = CounterMetricFamily("dbackup_runs", "Runs that have ended, by their state.", labels=("kind", "state"))
    for kind in sorted({*KINDS, *(kind for kind, _ in counted)}):
        for state in filter(lambda one: one.is_final, RunState):  # a counter begins at 0, or its first step is not seen
            ended.add_metric((kind, state.value), counted.get((kind, state), 0))
    yield ended
    yield _gauge(
        "dbackup_runs_active",
        "Runs that have not ended.",
        ("kind", "state"),
        [((kind, state.value), number) for (kind, state), number in counted.items() if not state.is_final],
    )


def _storages() -> Iterator[Metric]:
    stored = inventory().by_storage()
    yield _gauge(
        "dbackup_storage_stored_bytes",
        "Bytes of all backups on a storage.",
        ("storage",),
        [((name,), one.size) for name, one in stored.items()],
    )
    yield _gauge(
        "dbackup_storage_backups",
        "Backups on a storage.",
        ("storage",),
        [((name,), one.number) for name, one in stored.items()],
    )
    owed = owed_copies().by_storage()
    yield _gauge(
        "dbackup_storage_owed_copies",
        "Copies that a run could not bring to a storage.",
        ("storage",),
        [((name,), owed.get(name, 0)) for name in sorted({*stored, *owed})],
    )


def _watched(watch: Watch) -> Iterator[Metric]:
    limits = [one for one in watch.jobs if one.overdue_after]
    yield _gauge(
        "dbackup_job_overdue",
        "Whether there has been no good backup for longer than the job allows.",
        ("job",),
        [((one.job,), float(one.overdue)) for one in limits],
    )
    yield _gauge(
        "dbackup_job_overdue_after_seconds",
        "Without a good backup for so long the job is overdue.",
        ("job",),
        [((one.job,), one.overdue_after * 3600) for one in limits if one.overdue_after],
    )
    yield _gauge("dbackup_jobs_unreadable", "Saved jobs that cannot be read.", (), [((), float(watch.unreadable))])
