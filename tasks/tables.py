"""What Prefect's page of a restore or of a check shows beside its steps: a table of what came of it.

As with :mod:`tasks.artifacts`, it is written by a thread of its own and waited for a few seconds only, it is stored in
clear and names no address, and when it cannot be written nothing changes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context

from core.log import logger
from core.masking import mask
from core.reports import CheckedBackup, Failure, IntegrityReport, RestoredDatabase, RestoreReport
from core.words import size
from tasks import artifacts
from tasks.artifacts import NONE, PATIENCE

MOST_ROWS = 200  # of one table: a page, and no export
SIGNS = {"failed": "✗ failed", "passed": "✓ passed", "skipped": "· skipped"}  # the worst first
Rows = list[dict[str, str]]
log = logger(service="prefect")


def show_restored(report: RestoreReport) -> None:
    """Show which databases came back, and why others did not. Raises nothing."""
    rows = [_restored(one) for one in report.restored] + [_not_restored(one) for one in report.failures]
    _show("restore-databases", rows, report.summary)


def show_checked(report: IntegrityReport) -> None:
    """Show how each backup was found, those that failed first. Raises nothing."""
    worst_first = sorted(report.checked, key=lambda one: tuple(SIGNS).index(one.outcome))
    _show("integrity-backups", list(map(_checked, worst_first)), report.summary)


def _show(key: str, rows: Sequence[dict[str, str]], summary: str) -> None:
    left_out = f"; {len(rows) - MOST_ROWS} more rows are left out" if len(rows) > MOST_ROWS else ""
    told = (key, list(rows[:MOST_ROWS]), mask(summary) + left_out)
    writer = threading.Thread(target=copy_context().run, args=(_write, *told), name="artifacts", daemon=True)
    writer.start()
    writer.join(PATIENCE)


def _write(key: str, rows: Rows, description: str) -> None:
    try:
        artifacts.table(rows, key=key, description=description, _sync=True)
    except Exception as error:  # noqa: BLE001 - a picture of the run that fails must not make the run fail
        log.warning("Prefect's page lacks something of this run", reason=mask(f"{type(error).__name__}: {error}"))


def _restored(one: RestoredDatabase) -> dict[str, str]:
    return {
        "Database": mask(one.database),
        "Now": f"✓ {mask(one.restored_as)}",
        "Tables": f"{one.tables:,}",
        "Rows": f"{one.rows:,}",
        "Compared with the manifest": "yes" if one.compared else "nothing to compare with",
        "Notes": mask("; ".join(one.notes)),
    }


def _not_restored(one: Failure) -> dict[str, str]:
    nothing = dict.fromkeys(("Tables", "Rows", "Compared with the manifest"), NONE)
    return {"Database": mask(one.subject), "Now": "✗ not restored", **nothing, "Notes": mask(one.reason)}


def _checked(one: CheckedBackup) -> dict[str, str]:
    return {
        "Backup": one.backup_id,
        "Job": mask(one.job),
        "Storage": mask(one.storage),
        "Outcome": SIGNS[one.outcome],
        "How": one.method or NONE,
        "Size": size(one.size) if one.size else NONE,
        "Why": mask(one.reason),
    }
