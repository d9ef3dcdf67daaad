"""How the schema is changed beside the recording: one at a time, no lock waited for for long."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from history.database import errors_translated, make_engine
from history.errors import RefusedRowError
from streams.backoff import backoff_s
from streams.failures import Cause, TransientError

T = TypeVar("T")
SCHEMA_LOCK: Final = 0x416E646F6E  # "Andon"
"""The advisory lock of whoever changes the schema."""
_LOCK_WAIT_MS: Final = 500
"""So long a change waits for one lock, and whoever records behind it, milliseconds."""
_ASKED_EVERY_S: Final = 0.1
"""How often the lock of whoever migrates is asked for, seconds."""
_LOCKED: Final = ("55P03", "40P01", "23514")
"""SQLSTATEs of a lock that was not had, not in time or not without a deadlock, and of a row that
came between a look at a table and its lock."""


async def as_owner(
    url: str,
    timeout_s: float,
    work: Callable[[AsyncConnection], Awaitable[T]],
    doing: str = "migrating",
) -> T:
    """Do ``work`` over a connection of its own; ``doing`` says what it is, for the error.

    Raises:
        UnavailableError: the database does not answer, or the role may not change the schema.
    """
    engine = make_engine(url, pool_size=1, timeout_s=timeout_s, role="migrate")
    try:
        with errors_translated(doing):
            async with engine.connect() as link:
                return await work(link)
    except RefusedRowError as error:  # not this event's fault: all wait for somebody with the right
        said = f"{error}: `andon history migrate` as the owner of the tables (docs/history.md)"
        raise TransientError(Cause.NOT_PREPARED, said) from error
    finally:
        await engine.dispose()


async def alone(link: AsyncConnection, patience_s: float) -> None:
    """Hold the lock of whoever changes the schema, until the connection ends.

    It is asked for again and again and not waited for: an index that is built waits for every
    transaction that is older, and one that waits for this lock would be such a transaction.
    """
    until = time.monotonic() + patience_s
    while not await link.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": SCHEMA_LOCK}):
        await link.commit()
        if time.monotonic() >= until:
            said = f"another process has been migrating the history for {patience_s:g} s"
            raise TransientError(Cause.BUSY, f"{said} (lock timeout)")
        await asyncio.sleep(_ASKED_EVERY_S)
    await link.commit()


async def patiently(link: AsyncConnection, work: Callable[[Connection], T], patience_s: float) -> T:
    """Do it in one transaction; where a lock is not had at once, later again.

    Whoever records queues behind a lock that is waited for, so it is waited for only briefly.
    """
    until = time.monotonic() + patience_s
    for attempt in itertools.count():
        try:
            lock_ms = min(_LOCK_WAIT_MS, max(int(1000 * patience_s), 1))
            await link.execute(
                text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": str(lock_ms)}
            )
            done = await link.run_sync(work)
            await link.commit()
            return done
        except DBAPIError as error:
            await link.rollback()
            if getattr(error.orig, "sqlstate", "") not in _LOCKED or time.monotonic() >= until:
                raise
        await asyncio.sleep(backoff_s(attempt, 0.1, 2.0, jitter=0.3))
    raise AssertionError("unreachable")
