"""Golden parts: their decisions are marked, and they have no fact."""

from pathlib import Path

from alembic import op

from history.migrations.beside import run_beside, statements

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops what ``upgrade`` made; golden parts count as any other again."""
    op.execute("DROP VIEW golden_run")
    for statement in statements(Path(__file__).with_name("v0002_facts.sql")):
        if "CREATE FUNCTION effective_facts" in statement:
            op.get_bind().exec_driver_sql(
                statement.replace("CREATE FUNC", "CREATE OR REPLACE FUNC")
            )
    op.execute("DROP INDEX IF EXISTS decision_golden_idx")
    op.execute("ALTER TABLE decision DROP COLUMN is_golden")
