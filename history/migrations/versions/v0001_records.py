"""One insert-only table per topic, the policies' versions and audit, and the views over them."""

from pathlib import Path

from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file, one statement after the other."""
    for statement in Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drops everything again, with all that it holds."""
    op.execute("DROP VIEW frame_history, frame_scan, decision_outcome")
    op.execute("DROP FUNCTION outcome_rank, source_rank")
    op.execute("DROP TABLE policy_audit, policy_version")
    op.execute("DROP TABLE anomaly, decision, acknowledgement, review, dead_letter, alert")
