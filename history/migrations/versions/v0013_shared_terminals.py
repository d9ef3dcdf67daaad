"""PINs on shared terminals, how a session was opened, and what a shift leaves to the next one."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0013"
down_revision = "v0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops the table and the columns with all that they hold."""
    op.execute("DROP TABLE console_handover")
    op.execute("ALTER TABLE console_session DROP COLUMN way, DROP COLUMN terminal")
    op.execute("ALTER TABLE console_user DROP COLUMN pin")
