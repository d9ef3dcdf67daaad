"""Who may log in at the console, who is logged in, and the chained audit of what people do."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0009"
down_revision = "v0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops the tables with all that they hold."""
    for table in ("console_audit", "console_session", "console_user"):
        op.execute(f"DROP TABLE {table}")
