"""Remember who was told that a job is overdue."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One more table."""
    op.create_table(
        "alarms",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job", "channel", name="pk_alarms"),
    )


def downgrade() -> None:
    """Without it again."""
    op.drop_table("alarms")
