"""Golden parts: their decisions are marked, and they have no fact."""

from pathlib import Path

from alembic import op

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    for statement in Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drops what ``upgrade`` made; golden parts count as any other again."""
    op.execute("DROP VIEW golden_run")
    before = Path(__file__).with_name("v0002_facts.sql").read_text("utf-8")
    for statement in before.split(";\n\n"):
        if "CREATE FUNCTION effective_facts" in statement:
            op.get_bind().exec_driver_sql(
                statement.replace("CREATE FUNC", "CREATE OR REPLACE FUNC")
            )
    op.execute("DROP INDEX decision_golden_idx")
    op.execute("ALTER TABLE decision DROP COLUMN is_golden")
