"""The SQL that stands beside a migration."""

from pathlib import Path

from alembic import op


def statements(path: Path, end: str = ";\n\n") -> list[str]:
    """The statements of a frozen SQL file, which end as ``end`` says."""
    return [statement for statement in path.read_text("utf-8").split(end) if statement.strip()]


def run_beside(migration: str, end: str = ";\n\n") -> None:
    """Run the SQL file of a migration's own name, one statement after the other.

    Args:
        migration: the ``__file__`` of the migration.
        end: what ends a statement.
    """
    for statement in statements(Path(migration).with_suffix(".sql"), end):
        op.get_bind().exec_driver_sql(statement)
