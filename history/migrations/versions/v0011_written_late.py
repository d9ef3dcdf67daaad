"""A result that reached the controller after its window was written, unlike other late ones."""

from alembic import op

revision = "v0011"
down_revision = "v0010"
branch_labels = None
depends_on = None

_RANK = """
CREATE OR REPLACE FUNCTION outcome_rank(outcome text, written_at timestamptz) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE
        WHEN outcome = 'acknowledged' THEN 0
        WHEN {written} AND written_at IS NOT NULL THEN 1
        WHEN outcome IS NULL OR outcome = 'unacknowledged' THEN 2
        ELSE 3 END"""


def upgrade() -> None:
    """What was written ranks above what nobody answered for; facts of before hold no such row."""
    op.execute(_RANK.format(written="outcome IN ('unacknowledged', 'late')"))


def downgrade() -> None:
    """The order of before."""
    op.execute(_RANK.format(written="outcome = 'unacknowledged'"))
