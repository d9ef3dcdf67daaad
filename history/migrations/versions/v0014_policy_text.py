"""A policy's version keeps the text that it was read from, comments and all."""

from alembic import op

revision = "v0014"
down_revision = "v0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Versions of before have none: an editor writes their text from the body."""
    op.execute("ALTER TABLE policy_version ADD COLUMN source text")


def downgrade() -> None:
    """The texts go; what decides is the body."""
    op.execute("ALTER TABLE policy_version DROP COLUMN source")
