"""Who reviews which part just now, for every console; how who applied a policy was known."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0016"
down_revision = "v0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops the tables, so that whoever reviews is given parts anew, and the column."""
    op.execute("DROP TABLE review_lease, reviewed_just_now")
    op.execute("ALTER TABLE policy_audit DROP COLUMN login")
