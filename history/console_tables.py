"""The console's own tables: who may log in, who is logged in, and what people did there."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Index, Table, Text, func

from history.tables import METADATA

_ZONED = DateTime(timezone=True)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


USERS = Table(
    "console_user",
    METADATA,
    Column("name", Text, primary_key=True),
    *_texts("password", "role"),
    Column("must_change", Boolean, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", _ZONED, nullable=False, server_default=func.now()),
)
"""People who log in with a password: Argon2id, in the form that says its own parameters. Where it
``must_change``, somebody else chose it, and it opens nothing but the page that changes it."""

SESSIONS = Table(
    "console_session",
    METADATA,
    Column("secret_hash", Text, primary_key=True),
    Column("user_name", Text, ForeignKey("console_user.name"), nullable=False),
    *_texts("label", "role"),
    Column("created_at", _ZONED, nullable=False, server_default=func.now()),
    Column("expires_at", _ZONED, nullable=False),
    Column("ended_at", _ZONED),
    Index(None, "user_name"),
)
"""Secrets that stand for a person who logged in, or, with a label and a role of its own, for a
program. The secret is kept nowhere; its SHA-256 is the key."""

AUDIT = Table(
    "console_audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", _ZONED, nullable=False),
    *_texts("actor", "login", "via", "action", "object", "before", "after", "reason"),
    *_texts("address", "agent", "previous_hash", "row_hash"),
    Index(None, "action", "at"),
)
"""What somebody did. Rows are only added, numbered without a gap, and each row's hash covers the
hash of the row before."""
