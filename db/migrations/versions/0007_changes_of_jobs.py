"""Number the changes of jobs, so that whoever remembers jobs knows which to look at again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One more table."""
    op.create_table(
        "job_changes",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_job_changes"),
    )
    op.create_index("ix_job_changes_number", "job_changes", ["number"])


def downgrade() -> None:
    """Without it again."""
    op.drop_table("job_changes")
