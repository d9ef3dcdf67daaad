"""The audit of policies can say that a product has none any more."""

from alembic import op

revision = "v0008"
down_revision = "v0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An entry without ``to_hash`` is a withdrawal."""
    op.execute("ALTER TABLE policy_audit ALTER COLUMN to_hash DROP NOT NULL")


def downgrade() -> None:
    """Withdrawals go with the column's freedom: an older build cannot read them."""
    op.execute("ALTER TABLE policy_audit DISABLE TRIGGER insert_only")
    op.execute("DELETE FROM policy_audit WHERE to_hash IS NULL")
    op.execute("ALTER TABLE policy_audit ENABLE TRIGGER insert_only")
    op.execute("ALTER TABLE policy_audit ALTER COLUMN to_hash SET NOT NULL")
