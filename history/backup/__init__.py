"""Backups of the history: the database by PostgreSQL's own tools, the objects by their contents."""
