"""Which version of a product's expert was put in force, by whom, when and why."""

from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table to which rows are only added."""
    op.execute(
        """
        CREATE TABLE model_audit (
            id bigserial CONSTRAINT model_audit_pkey PRIMARY KEY,
            product_id text NOT NULL,
            from_expert text,
            to_expert text NOT NULL,
            from_exemplars text,
            to_exemplars text,
            applied_by text NOT NULL,
            reason text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now())
        """
    )
    op.execute(
        "CREATE INDEX model_audit_product_id_applied_at_idx ON model_audit (product_id, applied_at)"
    )


def downgrade() -> None:
    """Drops the table with all that it holds."""
    op.execute("DROP TABLE model_audit")
