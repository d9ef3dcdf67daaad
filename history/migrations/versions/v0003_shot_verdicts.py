"""What each shot of a part with several was judged, beside the decision of the part."""

from pathlib import Path

from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL beside this file."""
    for statement in Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drops the verdicts; the trigger's function may stay as it is."""
    op.execute("DROP TABLE shot_verdict")
