"""Blind audits: which parts that passed are drawn, and which reviews saw no verdict."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops what ``upgrade`` made; reviews forget whether they were blind but for their event."""
    op.execute("DROP VIEW audit_sample")
    op.execute("DROP INDEX IF EXISTS part_fact_audit_draw_idx")
    op.execute("DROP INDEX IF EXISTS part_fact_second_draw_idx")
    op.execute("DROP FUNCTION audit_draw")
    op.execute("ALTER TABLE review DROP COLUMN is_blind")
