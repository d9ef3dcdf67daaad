"""Alembic's entry: the connection and its transaction are ``history.migrate``'s."""

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
