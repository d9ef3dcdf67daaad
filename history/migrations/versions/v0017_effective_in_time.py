"""A decision that came late is effective where the controller has it, and nowhere else."""

from pathlib import Path

from alembic import op

from history.migrations.beside import statements

revision = "v0017"
down_revision = "v0016"
branch_labels = None
depends_on = None
_ASK = ("FUNCTION effective_facts", "VIEW decision_outcome", "VIEW golden_run")
"""What puts the decisions of a part in order; v0015 has the text of each."""
_BEFORE = "outcome_rank(a.outcome, a.written_at)"
_NOW = "decision_rank(a.outcome, a.written_at, d.is_late)"
_RANK = """
CREATE FUNCTION decision_rank(outcome text, written_at timestamptz, is_late boolean)
    RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN outcome_rank(outcome, written_at)
        + CASE WHEN is_late AND outcome_rank(outcome, written_at) >= 2 THEN 2 ELSE 0 END"""
_REFRESH = """
SELECT refresh_facts(ARRAY(SELECT f.part_frame_id FROM part_fact f WHERE f.has_late_answer
    AND f.written_at IS NULL AND f.outcome IS DISTINCT FROM 'acknowledged'))"""


def upgrade() -> None:
    """The facts of parts of which no result was written, and that had a late answer, follow."""
    op.execute(_RANK)
    _order_by(_NOW)
    op.execute(_REFRESH)


def downgrade() -> None:
    """The order of before."""
    _order_by(_BEFORE)
    op.execute(_REFRESH)
    op.execute("DROP FUNCTION decision_rank")


def _order_by(rank: str) -> None:
    for statement in statements(Path(__file__).with_name("v0015_months.sql")):
        if any(f"{name} AS" in statement or f"{name}(" in statement for name in _ASK):
            op.get_bind().exec_driver_sql(statement.replace(_BEFORE, rank))
