"""One row per part, kept as its events are recorded, and counts of them by quarter of an hour."""

from pathlib import Path

from alembic import op

from history.migrations.beside import run_beside, statements

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None

_VIEWS_BEFORE = ("frame_history", "frame_scan")
_INDEXES_BEFORE = ("part_id", "lot_id", "class_name", "not_passed", "not_answered")


def upgrade() -> None:
    """Runs the SQL beside this file; the facts of what is recorded already are written later."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops what ``upgrade`` made; the views and indexes of the version before come back."""
    op.execute("DROP VIEW frame_scan, frame_history, effective_part")
    for table in ("decision", "acknowledgement", "review", "anomaly"):
        op.execute(f"DROP TRIGGER facts_follow ON {table}")
    op.execute(
        "DROP FUNCTION facts_follow, backfill_facts, refresh_facts, effective_facts, part_frames"
    )
    op.execute("DROP TABLE shot, part_fact, part_count, fact_backfill")
    before = [f"CREATE VIEW {name} " for name in _VIEWS_BEFORE]
    before += [f"CREATE INDEX decision_{name}" for name in _INDEXES_BEFORE]
    for statement in statements(Path(__file__).with_name("v0001_records.sql"), ";\n"):
        if any(words in statement for words in before):
            op.get_bind().exec_driver_sql(statement)
