"""The tables as the program uses them; migrations/ makes them (a test keeps both equal)."""

from typing import Any

from sqlalchemy.dialects.mysql import MEDIUMTEXT

from stream.history.sql import sa

# Bytes are compared, so that SQLite and MariaDB find and sort alike.
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only an INTEGER counts by itself there

LONGEST_NAME = 512  # characters
LONGEST_FOLDED = 3 * LONGEST_NAME  # a character may fold into three

TABLES = sa.MetaData()

ENTRIES = sa.Table(
    "entries",
    TABLES,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("name", sa.String(LONGEST_NAME), nullable=False),
    sa.Column("folded", sa.String(LONGEST_FOLDED), nullable=False),  # the name in one case, to be searched
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("fake", sa.Double),
    sa.Column("by_user", sa.String(64), nullable=False),
    sa.Column("alert_id", sa.String(255)),  # all events of an alert go into one entry
    sa.Column("facts", sa.Text().with_variant(MEDIUMTEXT(), "mysql"), nullable=False),  # JSON
    sa.Index("entries_at", "at", "id"),
    sa.Index("entries_kind", "kind", "at", "id"),
    sa.Index("entries_verdict", "verdict", "at", "id"),
    sa.Index("entries_alert_id", "alert_id", unique=True),
    sqlite_autoincrement=True,  # else the number of a deleted entry would come back
    **_OPTIONS,
)

USERS = sa.Table(
    "users",
    TABLES,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(255), nullable=False),  # its Argon2 hash
    sa.Column("created", sa.Double, nullable=False),
    sa.Index("users_name", "name", unique=True),
    sqlite_autoincrement=True,
    **_OPTIONS,
)

SESSIONS = sa.Table(
    "sessions",
    TABLES,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the token, hexadecimal
    sa.Column(
        "user_id",
        _ID,
        sa.ForeignKey("users.id", name="sessions_user", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Index("sessions_user_id", "user_id"),
    sa.Index("sessions_expires", "expires"),
    **_OPTIONS,
)
