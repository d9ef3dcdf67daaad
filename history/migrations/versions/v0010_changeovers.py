"""Each step of a change of a station's recipe: asked, answered, acknowledged or refused."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0010"
down_revision = "v0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops the table with all that it holds."""
    op.execute("DROP TABLE changeover")
