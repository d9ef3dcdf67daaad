"""Reviews that are taken back, and those that settle a disagreement."""

from pathlib import Path

from alembic import op

from history.migrations.beside import run_beside, statements

revision = "v0012"
down_revision = "v0011"
branch_labels = None
depends_on = None
_BEFORE = {
    "v0006_golden": "FUNCTION effective_facts",
    "v0002_facts": "VIEW frame_history",
    "v0005_audits": "VIEW audit_sample",
}
"""Which earlier migration has the text of what ``upgrade`` replaces."""


def upgrade() -> None:
    """Runs the SQL beside this file."""
    run_beside(__file__)


def downgrade() -> None:
    """Every review counts again, also those that were taken back, as long as nobody adds one."""
    for migration, name in _BEFORE.items():
        for statement in statements(Path(__file__).with_name(f"{migration}.sql")):
            if f"{name} AS" in statement or f"{name}(" in statement:
                text = statement.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
                op.get_bind().exec_driver_sql(text)
    op.execute("DROP VIEW standing_review")
    op.execute("ALTER TABLE review DROP COLUMN is_settlement, DROP COLUMN withdraws")
