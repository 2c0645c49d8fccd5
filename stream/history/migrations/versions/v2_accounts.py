"""Step 2: users and their sessions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "v2"
down_revision = "v1"

_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Make the tables `users` and `sessions`."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "users",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sqlite_autoincrement=True,
        **_OPTIONS,
    )
    op.create_index("users_name", "users", ["name"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column(
            "user_id",
            number,
            sa.ForeignKey("users.id", name="sessions_user", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        **_OPTIONS,
    )
    op.create_index("sessions_user_id", "sessions", ["user_id"])
    op.create_index("sessions_expires", "sessions", ["expires"])
