"""Blind audits: which parts that passed are drawn, and which reviews saw no verdict."""

from pathlib import Path

from alembic import op

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    for statement in Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drops what ``upgrade`` made; reviews forget whether they were blind but for their event."""
    op.execute("DROP VIEW audit_sample")
    op.execute("DROP INDEX part_fact_audit_draw_idx")
    op.execute("DROP FUNCTION audit_draw")
    op.execute("ALTER TABLE review DROP COLUMN is_blind")
