"""Restore a backup: ``from flows.restore import restore; report = restore(RestoreSpec(...))``.

Each database is built beside its target and put in place only when it is complete and compared with the
manifest; whatever goes wrong before, the target is as it was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from core.errors import DBackupError
from core.jobs import RestoreSpec
from core.reports import Failure, RestoredDatabase, RestoreReport
from core.settings import settings
from core.states import RunState
from flows.notifying import notifying
from flows.sealed_flow import ended, sealed_flow
from services.restores import Piece, forget
from services.workspace import workspace
from tasks import restore as steps
from tasks.bookkeeping import belongs, complete, recorded, source_of
from tasks.notifications import RestoreStory
from tasks.restore import Resolved
from tasks.step import retried
from tasks.tables import show_restored

DOWNLOAD_RETRIES = 3  # of each file, as long as trying again can help


@sealed_flow("restore")
def restore(wish: RestoreSpec) -> RestoreReport:
    """Bring databases back from a backup. Raises RunFailed, with the report, unless all of them came back."""
    started_at = datetime.now(UTC)
    whose = {"source": source_of(wish.backup), "target": wish.target.saved_name}
    with recorded("restore", wish.backup, **whose) as execution, notifying(wish.notify, RestoreStory(wish)) as notifier:
        resolved = steps.resolve(wish)
        belongs(execution, job=resolved.job, source=resolved.source)
        with workspace(settings().runs, f"restore-{execution}") as folder:
            outcomes = [_outcome(resolved, piece.of_run(execution), folder) for piece in resolved.pieces]
        report = notifier.told(_report(resolved, wish, outcomes, started_at))
        complete(execution, report)
        show_restored(report)
    return ended(report)


def _outcome(resolved: Resolved, piece: Piece, folder: Path) -> RestoredDatabase | Failure:
    try:
        return _restored(resolved, piece, folder)
    except DBackupError as error:
        return Failure.of(piece.target.label, error)


def _restored(resolved: Resolved, piece: Piece, folder: Path) -> RestoredDatabase:
    try:
        file = retried(steps.download, DOWNLOAD_RETRIES)(resolved, piece, folder)
        steps.verify(piece, file)
        with resolved.target.restore(piece.target) as restoration:
            steps.restore(resolved, piece, file, restoration)
            return steps.compare(piece, restoration)
    finally:
        forget(piece, folder)


def _report(
    resolved: Resolved, wish: RestoreSpec, outcomes: list[RestoredDatabase | Failure], started_at: datetime
) -> RestoreReport:
    restored = tuple(one for one in outcomes if isinstance(one, RestoredDatabase))
    failures = tuple(one for one in outcomes if isinstance(one, Failure))
    return RestoreReport(
        state=RunState.of(succeeded=len(restored), failed=len(failures)),
        backup_id=resolved.backup_id,
        job=resolved.job,
        storage=wish.storage if wish.storage.is_name else resolved.storage.describe(),
        started_at=started_at,
        finished_at=datetime.now(UTC),
        restored=restored,
        missing=resolved.missing,
        failures=failures,
    )
