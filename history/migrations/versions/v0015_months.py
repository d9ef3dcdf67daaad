"""Events by month: tables that are empty at once, those that hold events beside the recording."""

from alembic import op
from sqlalchemy import text

from history.migrations.beside import run_beside

revision = "v0015"
down_revision = "v0014"
branch_labels = None
depends_on = None
_KEYS = {
    "anomaly": ("frame_id, reason", "frame_id, reason"),
    "decision": ("frame_id, result_id", "result_id"),
    "shot_verdict": ("frame_id, result_id", "result_id"),
    "acknowledgement": ("frame_id, result_id, outcome", "result_id, outcome"),
}
"""The key of each table by month, and before."""
_REMAKE = text("SELECT remake_table(:name, :key, :is_by_month, NULL)")


def upgrade() -> None:
    """Runs the SQL beside this file. Tables that hold events follow later (``history.months``)."""
    run_beside(__file__)
    link = op.get_bind()
    for name, (key, _) in _KEYS.items():
        is_filled = f"SELECT EXISTS (SELECT FROM {name})"  # noqa: S608 - a name of our own
        if not link.scalar(text(is_filled)):
            if name == "decision":
                op.execute(
                    "CREATE INDEX IF NOT EXISTS decision_golden_idx "
                    "ON decision (frame_id) WHERE is_golden"
                )
            if name in ("decision", "acknowledgement"):
                op.execute(f"DROP INDEX {name}_frame_id_idx")
            link.execute(_REMAKE, {"name": name, "key": key, "is_by_month": True})
    link.execute(text("SELECT add_months(3, now())"))


def downgrade() -> None:
    """Copies the parts of each table into one again; the views by month serve it as well."""
    link = op.get_bind()
    kind = text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)")
    for name, (_, key) in _KEYS.items():
        if not link.scalar(kind, {"name": name}):
            continue
        link.execute(_REMAKE, {"name": name, "key": key, "is_by_month": False})
        if name in ("decision", "acknowledgement"):
            op.execute(f"CREATE INDEX {name}_frame_id_idx ON {name} (frame_id)")
    op.execute("DROP FUNCTION add_months, refuse_changes_of, remake_table, first_frame_at")
