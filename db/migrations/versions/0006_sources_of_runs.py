"""Remember the source of each run, and find runs by it and by what Prefect calls them.

A run of the past is given its source where that is certain: by the backup that its report or its name tells of, or
because all backups of its job are of one source. The target of a past restore is not known any more.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SAVED_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # of another source, its place is kept in a manifest
PAGE = 1000  # runs that are held in memory at once
EXECUTIONS = sa.table("executions", *map(sa.column, ("execution_id", "kind", "job_name", "report", "source")))
BACKUPS = sa.table("backups", *map(sa.column, ("backup_id", "job_name", "source")))


def upgrade() -> None:
    """Two more columns, filled as far as that can be, and their indexes."""
    for name in ("source", "target"):
        op.add_column("executions", sa.Column(name, sa.Text(), server_default="", nullable=False))
    _fill(op.get_bind())
    op.create_index("ix_executions_source_created_at", "executions", ["source", "created_at"])
    op.create_index("ix_executions_flow_run_id", "executions", ["flow_run_id"])


def _fill(connection: sa.Connection) -> None:
    query = sa.select(BACKUPS.c.backup_id, BACKUPS.c.source)
    of_backup = {backup: source for backup, source in connection.execute(query) if SAVED_NAME.fullmatch(source)}
    of_job = _sources_of_jobs(connection)
    here = EXECUTIONS.c.execution_id == sa.bindparam("run")
    change = sa.update(EXECUTIONS).where(here).values(source=sa.bindparam("whose"))
    for page in _pages(connection):
        found = ((row.execution_id, _source(row, of_backup, of_job)) for row in page)
        if known := [{"run": run, "whose": source} for run, source in found if source]:
            connection.execute(change, known)


def _sources_of_jobs(connection: sa.Connection) -> dict[str, str]:
    """The source of each job all of whose backups are of one."""
    only = sa.func.min(BACKUPS.c.source)
    query = (
        sa.select(BACKUPS.c.job_name, only).group_by(BACKUPS.c.job_name).having(only == sa.func.max(BACKUPS.c.source))
    )
    return {job: source for job, source in connection.execute(query) if SAVED_NAME.fullmatch(source)}


def _pages(connection: sa.Connection) -> Iterator[list[sa.Row[Any]]]:
    last = ""
    while True:
        query = sa.select(EXECUTIONS).where(EXECUTIONS.c.execution_id > last).order_by(EXECUTIONS.c.execution_id)
        page = list(connection.execute(query.limit(PAGE)))
        if not page:
            return
        yield page
        last = page[-1].execution_id


def _source(row: sa.Row[Any], of_backup: dict[str, str], of_job: dict[str, str]) -> str:
    if row.kind in ("backup", "restore") and (backup := _backup_of(row.report)) in of_backup:
        return of_backup[backup]
    if row.kind in ("restore", "integrity"):  # what had not come far is called after its backup
        return of_backup.get(row.job_name, "")
    return of_job.get(row.job_name, "") if row.kind in ("backup", "heal") else ""


def _backup_of(report: str | None) -> str:
    """Which backup a report tells of; none where it cannot be read."""
    try:
        said = json.loads(report or "{}")
        return str(said.get("backup_id", ""))
    except (ValueError, AttributeError):
        return ""


def downgrade() -> None:
    """Without them again."""
    op.drop_index("ix_executions_flow_run_id", "executions")
    op.drop_index("ix_executions_source_created_at", "executions")
    for name in ("target", "source"):
        op.drop_column("executions", name)
