"""Alembic's entry point; ``history.migrate`` opens the connection and its transaction."""

from alembic import context

from history.facts import FACTS

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=FACTS.metadata,
    version_table=attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
