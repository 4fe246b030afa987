"""Bring the catalog up to date with what lies on the storages: ``from flows.catalog_sync import catalog_sync``.

Other machines store there too, and people delete by hand. The destinations are the truth, the catalog follows them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from blocks import saved
from blocks.saved import Kind
from core.states import RunState
from core.upkeep import CatalogReport
from flows.sealed_flow import ended, sealed_flow
from tasks import catalog as steps
from tasks.bookkeeping import complete, recorded


@sealed_flow("catalog-sync")
def catalog_sync() -> CatalogReport:
    """Read every saved storage anew. Raises RunFailed, with the report, when one could not be read."""
    started_at = datetime.now(UTC)
    with recorded("catalog-sync", "every storage") as execution:
        read = tuple(steps.read(name) for name in saved.everything(Kind.STORAGE))
        failed = sum(one.failure is not None for one in read)
        report = CatalogReport(
            state=RunState.of(succeeded=len(read) - failed, failed=failed) if failed else RunState.SUCCESS,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            storages=read,
        )
        complete(execution, report)
    return ended(report)
