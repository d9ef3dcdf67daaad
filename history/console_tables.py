"""The console's own tables: who may log in, who is logged in, and what people did there."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from history.tables import METADATA

_ZONED = DateTime(timezone=True)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


USERS = Table(
    "console_user",
    METADATA,
    Column("name", Text, primary_key=True),
    *_texts("password", "pin", "role"),
    Column("must_change", Boolean, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", _ZONED, nullable=False, server_default=func.now()),
)
"""People who log in: password and PIN as Argon2id, in the form that says its own parameters; the
PIN is empty without one. Where the password ``must_change``, somebody else chose it, and it opens
nothing but the page that changes it."""

SESSIONS = Table(
    "console_session",
    METADATA,
    Column("secret_hash", Text, primary_key=True),
    Column("user_name", Text, ForeignKey("console_user.name"), nullable=False),
    *_texts("label", "role", "way", "terminal"),
    Column("created_at", _ZONED, nullable=False, server_default=func.now()),
    Column("expires_at", _ZONED, nullable=False),
    Column("ended_at", _ZONED),
    Index(None, "user_name"),
)
"""Secrets that stand for a person who logged in, or, with a label and a role of its own, for a
program, a screen on the wall or a shared terminal (``way``). A session that was opened with a PIN
ends with its ``terminal``. The secret is kept nowhere; its SHA-256 is the key."""

HANDOVERS = Table(
    "console_handover",
    METADATA,
    Column("note_id", Uuid, primary_key=True),
    Column("at", _ZONED, nullable=False),
    *_texts("line", "shift", "author", "note"),
    Column("counted", JSONB, nullable=False),
    Index(None, "line", "at"),
)
"""What a shift leaves to the next one: a note, and what was counted when it was written. Rows are
only added."""

REVIEW_LEASES = Table(
    "review_lease",
    METADATA,
    Column("part_frame_id", Uuid, primary_key=True),
    *_texts("reviewer", "waits_for"),
    Column("taken_at", _ZONED, nullable=False, server_default=func.clock_timestamp()),
    Column("ends_at", _ZONED, nullable=False),
    Index(None, "reviewer", "taken_at"),
)
"""Parts that somebody looks at: nobody else is given them before the end. ``waits_for`` is empty
where the reviewer chose the part."""

REVIEWED_JUST_NOW = Table(
    "reviewed_just_now",
    METADATA,
    Column("part_frame_id", Uuid, primary_key=True),
    Column("waits_for", Text, primary_key=True),
    Column("ends_at", _ZONED, nullable=False),
)
"""Parts with a verdict that may not be recorded yet: not given again for the same reason before the
end."""

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
