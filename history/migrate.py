"""Brings the database's schema to what this build needs, without ``alembic.ini`` or a shell.

Several processes may call ``upgrade`` at once: one migrates under an advisory lock, the others
find it done. Each revision is one transaction with bounded waits for locks and statements, and the
indexes of large tables are built beside the recording.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from history.database import connected, make_engine
from history.migrations.indexes import INDEXES
from history.rights import (
    VERSION_TABLE,
    DatabaseRole,
    grant_statements,
    role_statements,
)
from history.schema_lock import alone, as_owner, patiently

_STATEMENT_S: Final = 600.0
"""Longest single statement of a revision."""
_GRANT_S: Final = 60.0
_SLICE_S: Final = 60.0
"""Longest time for one slice of facts, waiting for the recording included."""


def _says_a_step(record: logging.LogRecord) -> bool:
    """Not what Alembic says whenever it looks: a role that waits for its tables looks for days."""
    return str(record.msg).startswith("Running")


logging.getLogger("alembic.runtime.migration").addFilter(_says_a_step)


def head() -> str:
    """The revision that this build needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_newer(revision: str) -> bool:
    """Whether a later build made this revision: no build before it knows it.

    Revisions add to what the build before needs, so that one records on beside the later one.
    """
    known = ScriptDirectory.from_config(_config()).walk_revisions()
    return bool(revision) and revision not in {script.revision for script in known}


async def current(url: str) -> str:
    """The revision that the database has; empty before the first migration.

    Raises:
        UnavailableError: the database does not answer.
    """

    async def ask(link: AsyncConnection) -> str:
        return await link.run_sync(_current)

    return await as_owner(url, 10.0, ask)


async def upgrade(url: str, lock_timeout_s: float = 30.0) -> None:
    """Migrate to ``head()``; returns at once when the database has that revision or a newer one.

    Events may be recorded meanwhile: each revision is a transaction of its own that waits for a
    lock only briefly, lets those behind it pass, and tries again.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        lock_timeout_s: how long another migrating process, or the locks of a revision, are tried.

    Raises:
        UnavailableError: the database does not answer, or a lock was not had in time.
    """
    is_new = False

    async def migrate(link: AsyncConnection) -> None:
        nonlocal is_new
        before = await link.run_sync(_current)
        if before == head() or is_newer(before):
            return
        await alone(link, lock_timeout_s)
        before = await link.run_sync(_current)
        if is_newer(before):
            return
        is_new = not before
        for revision in _revisions_after(before):
            step = partial(_migrate_to, revision)
            await patiently(link, step, lock_timeout_s)
        if await link.run_sync(_has_roles):  # a new table is nobody's until it is granted
            grants = partial(_execute, statements=grant_statements())
            await patiently(link, grants, lock_timeout_s)

    await as_owner(url, _STATEMENT_S, migrate)
    if is_new:
        await build_indexes(url, _STATEMENT_S)


async def build_indexes(url: str, timeout_s: float = 3600.0) -> None:
    """Build the indexes of ``history.migrations.indexes`` that are missing, beside the recording.

    Returns at once where none is. What was left half built by a process that ended is built anew.

    Args:
        url: of a role that owns the tables.
        timeout_s: longest time for one of them, the end of older transactions included.

    Raises:
        UnavailableError: the database does not answer, or refuses.
    """

    async def build(link: AsyncConnection) -> None:
        if not await _missing_indexes(link):
            return
        await alone(link, timeout_s)
        missing = await _missing_indexes(link)
        await link.rollback()
        by_itself = await link.execution_options(isolation_level="AUTOCOMMIT")
        for name in missing:
            await _build(by_itself, name, INDEXES[name])

    await as_owner(url, timeout_s, build)


async def grant(url: str) -> None:
    """Create the roles of ``history.rights`` and their rights; may be applied again.

    Of a database that is not migrated the owner is made, who migrates it, and with that the rights.

    Args:
        url: of a superuser, or of a role that may create roles and owns the tables.

    Raises:
        UnavailableError: the database does not answer, or refuses.
    """

    def granted(connection: Connection) -> None:
        _execute(connection, role_statements())
        if _current(connection) == head():  # a newer build grants what it made
            _execute(connection, grant_statements())

    async def apply(link: AsyncConnection) -> None:
        await alone(link, _GRANT_S)
        await patiently(link, granted, _GRANT_S)

    await as_owner(url, _GRANT_S, apply)


def _has_roles(connection: Connection) -> bool:
    query = text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:names)")
    found = connection.scalar(query, {"names": [role.value for role in DatabaseRole]})
    return bool(found == len(DatabaseRole))


def _execute(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


async def write_facts(
    url: str,
    at_once: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the facts of the parts that an earlier version recorded; returns when all are there.

    Each slice is a transaction of its own, so that recording goes on meanwhile; what was done stays
    done when this is stopped. Returns at once where nothing is left to do.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        at_once: decisions of one slice.
        progress: called with the number of decisions that have been read so far.

    Raises:
        UnavailableError: the database does not answer, or is not migrated.
    """
    engine = make_engine(url, pool_size=1, timeout_s=_SLICE_S, role="migrate")
    query, done, read = text("SELECT backfill_facts(:at_once)"), False, 0
    try:
        while not done:
            async with connected(engine, _SLICE_S, "preparing recorded parts") as link:
                done = bool(await link.scalar(query, {"at_once": at_once}))
            read += at_once
            if progress is not None and not done:
                progress(read)
    finally:
        await engine.dispose()


def _current(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision() or ""


async def _build(link: AsyncConnection, name: str, what: str) -> None:
    """Of a table by month each part has its own, which together are the table's."""
    table, rest = what.removeprefix("ON ").split(" ", 1)
    parts = list((await link.execute(_PARTS_OF, {"table": table})).scalars())
    if not parts:
        await link.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        await link.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {name} {what}")
        return
    await link.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    await link.exec_driver_sql(f"CREATE INDEX {name} ON ONLY {table} {rest}")
    for part in parts:
        of_part = name.replace(table, part, 1)
        await link.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {of_part}")
        await link.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {of_part} ON {part} {rest}")
        await link.exec_driver_sql(f"ALTER INDEX {name} ATTACH PARTITION {of_part}")


_PARTS_OF = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = to_regclass(:table) ORDER BY 1"
)


async def _missing_indexes(link: AsyncConnection) -> list[str]:
    query = text(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE i.indisvalid AND c.relnamespace = current_schema()::regnamespace"
    )
    found = set((await link.execute(query)).scalars())
    return [name for name in INDEXES if name not in found]


def _revisions_after(before: str) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    found = script.iterate_revisions("head", before or "base")
    return [revision.revision for revision in reversed(list(found))]


def _migrate_to(revision: str, connection: Connection) -> None:
    command.upgrade(_config(connection), revision)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("history") / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config
