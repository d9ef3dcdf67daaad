"""One insert-only table per topic, the policies' versions and audit, and the views over them."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file, one statement after the other."""
    run_beside(__file__, ";\n")


def downgrade() -> None:
    """Drops everything again, with all that it holds."""
    op.execute("DROP VIEW frame_history, frame_scan, decision_outcome")
    op.execute("DROP FUNCTION outcome_rank, source_rank")
    op.execute("DROP TABLE policy_audit, policy_version")
    op.execute("DROP TABLE anomaly, decision, acknowledgement, review, dead_letter, alert")
