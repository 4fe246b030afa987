"""Bring to a job's destinations what earlier runs owe them: ``from flows.heal import heal; heal(job)``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from core.jobs import JobSpec
from core.reports import Healed, HealReport
from core.states import RunState
from flows.sealed_flow import ended, sealed_flow
from tasks import healing as steps
from tasks.bookkeeping import complete, recorded


@sealed_flow("heal")
def heal(job: JobSpec) -> HealReport:
    """Copy what is owed from one destination to another. Raises RunFailed, with the report, when some stays owed."""
    started_at = datetime.now(UTC)
    with recorded("heal", job.name) as execution:
        slug, destinations, silent = steps.initialize(job)
        healed = (
            *steps.heal(slug, destinations, all_answer=not silent),
            *(owed for one in silent for owed in steps.still_owed(slug, one)),
        )
        report = HealReport(
            state=_state(healed), job=job.name, started_at=started_at, finished_at=datetime.now(UTC), healed=healed
        )
        complete(execution, report)
    return ended(report)


def _state(healed: Sequence[Healed]) -> RunState:
    """A job that owes nothing is in order."""
    done = sum(one.complete for one in healed)
    return RunState.of(succeeded=done, failed=len(healed) - done) if healed else RunState.SUCCESS
