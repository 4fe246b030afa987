"""Check backups where they lie: ``from flows.integrity import integrity; report = integrity(IntegritySpec(...))``."""

from __future__ import annotations

from datetime import UTC, datetime

from core.jobs import IntegritySpec
from core.reports import IntegrityReport
from core.states import RunState
from flows.notifying import notifying
from flows.sealed_flow import ended, sealed_flow
from tasks import integrity as steps
from tasks.bookkeeping import complete, recorded, source_of
from tasks.notifications import IntegrityStory
from tasks.tables import show_checked


@sealed_flow("integrity")
def integrity(wish: IntegritySpec) -> IntegrityReport:
    """Read back every backup that is asked for.

    Raises RunFailed, with the report, when one of them fails or a destination cannot be reached.
    """
    started_at = datetime.now(UTC)
    story, what = IntegrityStory(wish), wish.backup or "every backup"
    with (
        recorded("integrity", what, source=source_of(wish.backup)) as execution,
        notifying(wish.notify, story) as notifier,
    ):
        scan = steps.scan(wish)
        checked = (*scan.missing, *(steps.verify(target, scan.keys) for target in scan.targets))
        passed, failed = (sum(one.outcome == outcome for one in checked) for outcome in ("passed", "failed"))
        report = IntegrityReport(
            state=RunState.SUCCESS if passed and not failed and not scan.unread else RunState.FAILED,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            checked=checked,
            unread=scan.unread,
        )
        report = notifier.told(report)
        complete(execution, report)
        show_checked(report)
    return ended(report)
