"""Remember the copies that a run could not bring to one of its destinations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One more table."""
    op.create_table(
        "owed",
        sa.Column("backup_id", sa.String(32), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("job_slug", sa.String(128), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", "storage", name="pk_owed"),
    )
    op.create_index("ix_owed_job_slug", "owed", ["job_slug"])


def downgrade() -> None:
    """Without it again."""
    op.drop_table("owed")
