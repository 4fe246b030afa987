"""Bring to a job's destinations what earlier runs owe them: ``from flows.heal import heal; heal(job)``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from core.jobs import JobSpec
from core.reports import Healed, HealReport
from core.states import RunState
from flows.notifying import notifying
from flows.sealed_flow import ended, sealed_flow
from tasks import healing as steps
from tasks.bookkeeping import complete, recorded
from tasks.notifications import HealStory


@sealed_flow("heal")
def heal(job: JobSpec) -> HealReport:
    """Copy what is owed from one destination to another. Raises RunFailed, with the report, when some stays owed; then
    the job's channels are told."""
    started_at = datetime.now(UTC)
    story = HealStory(job)
    source = job.source.saved_name
    with recorded("heal", job.name, source=source) as execution, notifying(job.notify, story) as notifier:
        slug, destinations, silent = steps.initialize(job)
        healed = (
            *steps.heal(job, slug, destinations, all_answer=not silent),
            *(owed for one in silent for owed in steps.still_owed(slug, one)),
        )
        report = HealReport(
            state=_state(healed), job=job.name, started_at=started_at, finished_at=datetime.now(UTC), healed=healed
        )
        if not report.state.is_good:  # that a job owes nothing is no news
            report = notifier.told(report)
        complete(execution, report)
    return ended(report)


def _state(healed: Sequence[Healed]) -> RunState:
    """A job that owes nothing is in order."""
    done = sum(one.settled for one in healed)
    return RunState.of(succeeded=done, failed=len(healed) - done) if healed else RunState.SUCCESS
