"""The size and the newest check of each copy stand beside it: lists sorted by them, and sums, come from one index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UNCHECKED = "1"
SIZES = """
UPDATE locations SET size = (SELECT backups.size FROM backups WHERE backups.backup_id = locations.backup_id)
"""
CHECKS = """
UPDATE locations SET (standing, checked_at, check_method, check_detail) = (
    SELECT CASE WHEN passed THEN 2 ELSE 0 END, moment, method, detail FROM verifications WHERE number = (
        SELECT max(number) FROM verifications AS one
        WHERE one.backup_id = locations.backup_id AND one.storage = locations.storage
    )
) WHERE EXISTS (
    SELECT 1 FROM verifications AS one
    WHERE one.backup_id = locations.backup_id AND one.storage = locations.storage
)
"""


def upgrade() -> None:
    """Columns, what the checks until now have found, and the index."""
    op.add_column("locations", sa.Column("standing", sa.SmallInteger(), server_default=UNCHECKED, nullable=False))
    op.add_column("locations", sa.Column("checked_at", sa.DateTime(timezone=True)))
    op.add_column("locations", sa.Column("check_method", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("locations", sa.Column("check_detail", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("locations", sa.Column("size", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(SIZES)
    op.execute(CHECKS)
    newest_first = sa.text("backup_id DESC")
    op.create_index("ix_locations_checks", "locations", ["standing", "checked_at", newest_first, "storage"])
    op.create_index("ix_locations_storage_size", "locations", ["storage", "size"])


def downgrade() -> None:
    """Without them again; every check is still among the verifications."""
    op.drop_index("ix_locations_storage_size", "locations")
    op.drop_index("ix_locations_checks", "locations")
    for column in ("size", "check_detail", "check_method", "checked_at", "standing"):
        op.drop_column("locations", column)
