"""Remove what killed runs have left: ``from flows.janitor import clean; report = clean(CleaningSpec())``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from blocks import saved
from blocks.saved import Kind
from core.jobs import CleaningSpec
from core.reports import CleaningReport, Leftovers
from core.states import RunState
from flows.sealed_flow import ended, sealed_flow
from tasks import janitor as steps
from tasks.bookkeeping import complete, recorded


@sealed_flow("janitor")
def clean(wish: CleaningSpec) -> CleaningReport:
    """Clean storages, and look for databases that killed restores have left on sources; those are never removed.

    Raises RunFailed, with the report, when one of them could not be cleaned or asked.
    """
    started_at = datetime.now(UTC)
    with recorded("janitor", "leftovers") as execution:
        storages = saved.everything(Kind.STORAGE) if wish.storages is None else wish.storages
        sources = saved.everything(Kind.SOURCE) if wish.sources is None else wish.sources
        cleaned = tuple(steps.clean(name, dry_run=wish.dry_run) for name in storages)
        seen = tuple(steps.look(name) for name in sources)
        report = CleaningReport(
            state=_state([*cleaned, *seen]),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            storages=cleaned,
            sources=seen,
        )
        complete(execution, report)
    return ended(report)


def _state(places: Sequence[Leftovers]) -> RunState:
    failed = sum(one.failure is not None for one in places)
    return RunState.of(succeeded=len(places) - failed, failed=failed) if failed else RunState.SUCCESS
