"""An anomaly whose picture was removed with its serial number names none: nobody reviews it."""

from pathlib import Path

from alembic import op

from history.migrations.beside import statements

revision = "v0020"
down_revision = "v0017"
branch_labels = None
depends_on = None
_BEFORE = "(SELECT FROM anomaly i WHERE i.frame_id = p.frame OFFSET 0) a) AS has_picture"
_NOW = _BEFORE.replace(" OFFSET 0", " AND i.image_key IS NOT NULL OFFSET 0")


def upgrade() -> None:
    """What was erased before keeps the names of its pictures."""
    op.execute("ALTER TABLE anomaly ALTER COLUMN image_key DROP NOT NULL")
    _sampled_by(_NOW)


def downgrade() -> None:
    """The sample of before; an anomaly may go on naming no picture, which nobody is hurt by."""
    _sampled_by(_BEFORE)


def _sampled_by(has_picture: str) -> None:
    for statement in statements(Path(__file__).with_name("v0015_months.sql")):
        if "VIEW audit_sample AS" in statement:
            op.get_bind().exec_driver_sql(statement.replace(_BEFORE, has_picture))
