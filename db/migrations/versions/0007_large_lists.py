"""Find any page of long lists in indexes alone; and number the changes of jobs, for whoever remembers jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_executions_lists": (
        "executions", ["created_at", "execution_id", "state", "kind", "job_name", "source", "target"]
    ),
    "ix_verifications_backup_id_storage_number": ("verifications", ["backup_id", "storage", "number"]),
    "ix_backups_backup_id_size": ("backups", ["backup_id", "size"]),
}  # fmt: skip


def upgrade() -> None:
    """One more table, and indexes that hold all that lists are sorted and chosen by."""
    op.create_table(
        "job_changes",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_job_changes"),
    )
    op.create_index("ix_job_changes_number", "job_changes", ["number"])
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.drop_index("ix_executions_created_at", "executions")
    op.drop_index("ix_executions_state", "executions")  # nearly all runs have ended: it led to reading them all


def downgrade() -> None:
    """Without them again."""
    op.create_index("ix_executions_state", "executions", ["state"])
    op.create_index("ix_executions_created_at", "executions", ["created_at"])
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
    op.drop_table("job_changes")
