"""Keep what lists are sorted and searched by beside each manifest, and find the newest run of each job quickly."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEX = "ix_backups_complete_job_slug_started_at"


def upgrade() -> None:
    """Add the columns, and fill them from the manifests."""
    op.add_column("backups", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column("backups", sa.Column("engine", sa.String(32), server_default="", nullable=False))
    op.add_column("backups", sa.Column("profile", sa.Text()))
    op.add_column("backups", sa.Column("size", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("backups", sa.Column("dump_size", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("backups", sa.Column("complete", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(INDEX, "backups", ["complete", "job_slug", "started_at"])
    op.create_index("ix_executions_kind_job_name_created_at", "executions", ["kind", "job_name", "created_at"])
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    backups = sa.table("backups", *map(sa.column, ("backup_id", "manifest", *_facts(b"{}"))))
    for backup_id in connection.scalars(sa.select(backups.c.backup_id)).all():
        here = backups.c.backup_id == backup_id
        written = connection.scalar(sa.select(backups.c.manifest).where(here))
        connection.execute(sa.update(backups).where(here).values(_facts(bytes(written or b""))))


def _facts(written: bytes) -> dict[str, object]:
    """What a manifest of any age says; one that is damaged is known by its id alone, and not called complete."""
    try:
        manifest = json.loads(written)
        files = manifest.get("files", [])
        return {
            "source": manifest.get("source", {}).get("name", ""),
            "engine": manifest.get("source", {}).get("engine", ""),
            "profile": next((file["encryption"]["profile"] for file in files if file.get("encryption")), None),
            "size": sum(file["size"] for file in files),
            "dump_size": sum(file["dump_size"] for file in files),
            "complete": not manifest.get("missing"),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"source": "", "engine": "", "profile": None, "size": 0, "dump_size": 0, "complete": False}


def downgrade() -> None:
    """Without them again."""
    op.drop_index("ix_executions_kind_job_name_created_at", "executions")
    op.drop_index(INDEX, "backups")
    for column in ("complete", "dump_size", "size", "profile", "engine", "source"):
        op.drop_column("backups", column)
