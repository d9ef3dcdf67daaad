"""Brings the database's schema to what this build needs, without ``alembic.ini`` or a shell.

Several processes may call ``upgrade`` at once: one migrates under an advisory lock, the others
find it done. Everything happens in one transaction, with bounded waits for locks and statements.
"""

from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from history.database import connected, errors_translated, make_engine
from history.errors import RefusedRowError
from history.rights import (
    VERSION_TABLE,
    DatabaseRole,
    grant_statements,
    role_statements,
)
from streams.failures import Cause, TransientError

T = TypeVar("T")
_LOCK = 0x416E646F6E  # "Andon"


def head() -> str:
    """The revision that this build needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current(url: str, timeout_s: float = 10.0) -> str:
    """The revision that the database has; empty before the first migration.

    Raises:
        UnavailableError: the database does not answer.
    """
    return await _run(url, timeout_s, _current)


async def upgrade(
    url: str, lock_timeout_s: float = 30.0, statement_timeout_s: float = 600.0
) -> None:
    """Migrate to ``head()``; returns at once when the database has that revision.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        lock_timeout_s: longest wait for another migrating process, or for a table's lock.
        statement_timeout_s: longest single statement.

    Raises:
        UnavailableError: the database does not answer, or a lock was not had in time.
    """

    def migrate(connection: Connection) -> None:
        if _current(connection) == head():
            return
        for name, seconds in (
            ("lock_timeout", lock_timeout_s),
            ("statement_timeout", statement_timeout_s),
        ):
            connection.execute(
                text("SELECT set_config(:name, :value, true)"),
                {"name": name, "value": str(int(seconds * 1000))},
            )
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(connection), "head")
        if _has_roles(connection):  # a new table is nobody's until it is granted
            _execute(connection, grant_statements())

    await _run(url, statement_timeout_s, migrate)


async def grant(url: str, timeout_s: float = 60.0) -> None:
    """Create the roles of ``history.rights`` and their rights; may be applied again.

    Of a database that is not migrated the owner is made, who migrates it, and with that the rights.

    Args:
        url: of a superuser, or of a role that may create roles and owns the tables.
        timeout_s: seconds for all of it.

    Raises:
        UnavailableError: the database does not answer, or refuses.
    """

    def apply(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _execute(connection, role_statements())
        if _current(connection) == head():
            _execute(connection, grant_statements())

    await _run(url, timeout_s, apply)


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
    timeout_s: float = 60.0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the facts of the parts that an earlier version recorded; returns when all are there.

    Each slice is a transaction of its own, so that recording goes on meanwhile; what was done stays
    done when this is stopped. Returns at once where nothing is left to do.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        at_once: decisions of one slice.
        timeout_s: longest time for one slice, waiting for the recording included.
        progress: called with the number of decisions that have been read so far.

    Raises:
        UnavailableError: the database does not answer, or is not migrated.
    """
    engine = make_engine(url, pool_size=1, timeout_s=timeout_s, role="migrate")
    query, done, read = text("SELECT backfill_facts(:at_once)"), False, 0
    try:
        while not done:
            async with connected(engine, timeout_s, "preparing recorded parts") as link:
                done = bool(await link.scalar(query, {"at_once": at_once}))
            read += at_once
            if progress is not None and not done:
                progress(read)
    finally:
        await engine.dispose()


def _current(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision() or ""


async def _run(url: str, timeout_s: float, work: Callable[[Connection], T]) -> T:
    engine = make_engine(url, pool_size=1, timeout_s=timeout_s, role="migrate")
    try:
        with errors_translated("migrating"):
            async with engine.begin() as connection:
                return await connection.run_sync(work)
    except RefusedRowError as error:  # not this event's fault: all wait for somebody with the right
        said = f"{error}: `andon history migrate` as the owner of the tables (docs/history.md)"
        raise TransientError(Cause.NOT_PREPARED, said) from error
    finally:
        await engine.dispose()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("history") / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config
