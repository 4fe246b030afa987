"""Make the catalog of backups and the record of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing to the first tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "backups",
        sa.Column("backup_id", sa.String(32), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("job_slug", sa.String(128), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", name="pk_backups"),
    )
    op.create_index("ix_backups_started_at", "backups", ["started_at"])
    op.create_index("ix_backups_job_name_started_at", "backups", ["job_name", "started_at"])
    op.create_index("ix_backups_job_slug_started_at", "backups", ["job_slug", "started_at"])
    op.create_table(
        "locations",
        sa.Column("backup_id", sa.String(32), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", "storage", name="pk_locations"),
        sa.ForeignKeyConstraint(
            ["backup_id"], ["backups.backup_id"], name="fk_locations_backup_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "verifications",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("backup_id", sa.String(32), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("moment", moment, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_verifications"),
    )
    op.create_index("ix_verifications_backup_id_moment", "verifications", ["backup_id", "moment"])
    op.create_table(
        "executions",
        sa.Column("execution_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.String(36)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("started_at", moment),
        sa.Column("finished_at", moment),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("report", sa.Text()),
        sa.PrimaryKeyConstraint("execution_id", name="pk_executions"),
    )
    op.create_index("ix_executions_created_at", "executions", ["created_at"])
    op.create_index("ix_executions_state", "executions", ["state"])


def downgrade() -> None:
    """Back to nothing."""
    for table in ("executions", "verifications", "locations", "backups"):
        op.drop_table(table)
