"""Alembic's environment and the versions; run by ``history.migrate``."""
