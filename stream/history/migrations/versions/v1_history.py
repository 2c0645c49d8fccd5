"""Step 1: the history of checks and alerts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Make the table `entries`."""
    op.create_table(
        "entries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("folded", sa.String(1536), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("fake", sa.Double),
        sa.Column("by_user", sa.String(64), nullable=False),
        sa.Column("alert_id", sa.String(255)),
        sa.Column("facts", sa.Text().with_variant(MEDIUMTEXT(), "mysql"), nullable=False),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("entries_at", "entries", ["at", "id"])
    op.create_index("entries_kind", "entries", ["kind", "at", "id"])
    op.create_index("entries_verdict", "entries", ["verdict", "at", "id"])
    op.create_index("entries_alert_id", "entries", ["alert_id"], unique=True)
