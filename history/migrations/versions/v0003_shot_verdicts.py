"""What each shot of a part with several was judged, beside the decision of the part."""

from alembic import op

from history.migrations.beside import run_beside

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Drops the verdicts; the trigger's function may stay as it is."""
    op.execute("DROP TABLE shot_verdict")
