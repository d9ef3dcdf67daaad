"""What the database keeps of each part beside the insert-only tables.

Triggers write these tables in the transaction that inserts the events, whoever inserts them
(``migrations/versions/v0002_facts.sql``); Python only reads them.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)

from history.tables import METADATA


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _part(*names: str) -> list[Column[str]]:
    return _texts("line", "station", "product_id", *names)


_ANSWER = ("source", "class_name", "severity", "action", "rule", "policy_hash", "expert_version")
_ZONED = DateTime(timezone=True)

WHY_STOPPED: Final = (
    "\nCASE"
    "\n    WHEN has_late_answer OR source = 'watchdog'::text OR (rule = ANY "
    "(ARRAY['fallback:late'::text, 'fallback:no_decision'::text])) THEN 'late'::text"
    "\n    WHEN rule = 'fallback:unsure'::text THEN 'unsure'::text"
    "\n    WHEN rule = 'fallback:unknown'::text OR class_name = 'unknown'::text "
    "THEN 'unknown'::text"
    "\n    WHEN action = 'hold'::text THEN 'hold'::text"
    "\n    ELSE 'reject'::text"
    "\nEND"
)
"""Why a part waits for a person that did not pass and that nobody reviewed. An index is of these
words, as PostgreSQL prints them: what is asked for by any others does not find it."""
SECOND_DRAW: Final = "audit_draw(md5('second'::text || part_frame_id::text)::uuid)"
"""The number by which a part is drawn for a second person. An index is of these words, too."""

FACTS = Table(
    "part_fact",
    METADATA,
    Column("part_frame_id", Uuid, primary_key=True),
    Column("captured_at", _ZONED, nullable=False),
    *_part("part_id", "lot_id"),
    Column("is_simulated", Boolean, nullable=False),
    Column("result_id", Uuid, nullable=False),
    *_texts(*_ANSWER),
    Column("score", Double),
    Column("p_value", Double),
    Column("confidence", Double),
    Column("decided_at", _ZONED, nullable=False),
    Column("outcome", Text),
    Column("result_seq", BigInteger),
    Column("written_at", _ZONED),
    Column("acknowledged_at", _ZONED),
    Column("trigger_to_write_ms", Double),
    Column("has_late_answer", Boolean, nullable=False),
    Column("review_severity", Text),
    Column("review_class", Text),
    Column("is_repeated", Boolean, nullable=False),
    Index(None, "captured_at", "part_frame_id"),
    Index(None, "part_id"),
    Index(None, "lot_id", "captured_at"),
    Index(None, "class_name", "captured_at"),
    Index(
        "part_fact_audit_draw_idx",
        text("audit_draw(part_frame_id)"),
        postgresql_where=text("action = 'pass'"),
    ),
    Index(
        "part_fact_open_idx",
        text(f"({WHY_STOPPED})"),
        "captured_at",
        "part_frame_id",
        postgresql_where=text("action <> 'pass' AND review_severity IS NULL"),
    ),
    Index(
        "part_fact_second_draw_idx",
        text(SECOND_DRAW),
        postgresql_where=text("review_severity IS NOT NULL"),
    ),
    *(
        Index(f"part_fact_{name}_idx", "captured_at", "part_frame_id", postgresql_where=text(where))
        for name, where in (
            ("not_passed", "action <> 'pass'"),
            ("not_answered", "source IN ('fallback', 'watchdog')"),
            ("reviewed", "review_severity IS NOT NULL"),
            ("repeated", "is_repeated"),
        )
    ),
)
"""One row per part that has a decision: the effective one, what became of it, the latest review.

``part_frame_id`` is the frame of the part's trigger. ``is_repeated`` says that another part carries
the same product and serial; it never becomes false again.
"""

COUNTS = Table(
    "part_count",
    METADATA,
    Column("quarter", _ZONED, primary_key=True),
    Column("key", Uuid, primary_key=True),
    *_part(),
    Column("is_simulated", Boolean, nullable=False),
    *_texts(*_ANSWER),
    Column("outcome", Text),
    Column("has_late_answer", Boolean, nullable=False),
    Column("review_severity", Text),
    Column("is_repeated", Boolean, nullable=False),
    Column("parts", BigInteger, nullable=False),
)
"""How many parts of each kind were captured in each quarter of an hour, which begins at
``quarter``. Quarters, because shifts and time zones begin at them. ``key`` is a hash of the other
columns; a count that has become zero stays as a row."""

SHOTS = Table(
    "shot",
    METADATA,
    Column("frame_id", Uuid, primary_key=True),
    Column("part_frame_id", Uuid, nullable=False, index=True),
)
"""Which part a photograph belongs to, where it is not the part's first one."""

BACKFILL = Table(
    "fact_backfill",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("after_frame_id", Uuid, nullable=False),
    Column("is_done", Boolean, nullable=False),
)
"""One row: how far the facts of what an earlier version recorded have been written."""
