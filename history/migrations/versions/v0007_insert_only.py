"""Rows of the insert-only tables cannot be changed or removed by accident, even by the owner."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0007"
down_revision = "v0006"
branch_labels = None
depends_on = None
_TABLES = (
    "anomaly",
    "decision",
    "shot_verdict",
    "acknowledgement",
    "review",
    "dead_letter",
    "alert",
    "policy_version",
    "policy_audit",
    "model_audit",
)


def upgrade() -> None:
    """Runs the SQL beside this file, and one trigger for each table."""
    run_beside(__file__)
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    """Drops what ``upgrade`` made."""
    for table in _TABLES:
        op.execute(f"DROP TRIGGER insert_only ON {table}")
    op.execute("DROP FUNCTION refuse_change")
