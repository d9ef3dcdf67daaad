"""Alembic's entry point; ``history.migrate`` opens the connection and its transaction."""

from alembic import context

from history.tables import METADATA

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=METADATA,
    version_table=attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
