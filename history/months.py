"""Tables of events in parts by month: made ahead, and brought about beside the recording.

A month is told by the frame id, a UUIDv7: it begins with the milliseconds at which it was minted.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from history.errors import BadQueryError, HistoryError
from history.records import Record
from history.schema_lock import alone, as_owner, patiently
from streams.ids import minted_at

BY_MONTH: Final[Mapping[str, str]] = {
    "anomaly": "frame_id, reason",
    "decision": "frame_id, result_id",
    "shot_verdict": "frame_id, result_id",
    "acknowledgement": "frame_id, result_id, outcome",
}
"""The tables that are kept by month, each with its key."""
MONTHS_AHEAD: Final = 3
"""So many months after this one have their parts already."""
_CLEAR: Final = timedelta(days=31)
"""So far ahead ends the part of all that was there before: nothing that comes meanwhile is later
than that."""
_LONG_AHEAD: Final = timedelta(days=366)
_LONG_AGO: Final = timedelta(days=3660)
_PATIENCE_S: Final = 300.0
_LOCKS_S: Final = 60.0
"""How long the locks for a new part are tried."""
_DIVISION_S: Final = 6 * 3600.0
"""Longest time for one statement that divides a table."""
_IS_BY_MONTH: Final = text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)")
_ADD: Final = text("SELECT add_months(:ahead, coalesce(:since, now()))")
_PARTS: Final = text(
    "SELECT p.relname::text AS table, c.relname::text AS name, "
    "substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''(.*)''\\) TO')::uuid AS begins, "
    "substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''(.*)''\\)')::uuid AS ends, "
    "pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_for_others, "
    "pg_total_relation_size(c.oid) AS bytes "
    "FROM pg_class p JOIN pg_inherits i ON i.inhparent = p.oid "
    "JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE p.oid = ANY (ARRAY(SELECT to_regclass(n) FROM unnest(:names) n)) AND p.relkind = 'p' "
    "ORDER BY p.relname, 3 NULLS FIRST, c.relname"
).bindparams(bindparam("names", type_=ARRAY(Text)))


class MonthPart(Record):
    """One part of a table by month."""

    table: str
    name: str
    begins: UUID | None
    """The least frame id that it takes; None: any that is before its end."""
    ends: UUID | None
    """The least frame id behind it; None for the part that takes what no other does."""
    is_for_others: bool
    bytes: int
    """On disk, its indexes included."""


class ForeignFramesError(HistoryError):
    """A table holds frame ids that tell no time, or a time far ahead."""


async def add_months(url: str, ahead: int = MONTHS_AHEAD, since: datetime | None = None) -> int:
    """Make the parts that are missing up to some months ahead; how many it made.

    Args:
        url: of the owner of the tables, or of the recorder.
        ahead: months after this one.
        since: make the months since then too, for events that were recorded elsewhere; None: this
            month's and later ones.

    Raises:
        BadQueryError: that is over ten years ago; what is older stays in the part for all others.
        UnavailableError: the database does not answer, is not migrated, or a lock was not had.
    """
    if since is not None and since < datetime.now(UTC) - _LONG_AGO:
        raise BadQueryError(f"{since:%Y-%m-%d} is over ten years ago: name a later day")

    def add(connection: Connection) -> int:
        return int(connection.scalar(_ADD, {"ahead": ahead, "since": since}) or 0)

    async def work(link: AsyncConnection) -> int:
        return await patiently(link, add, _LOCKS_S)

    return await as_owner(url, _LOCKS_S, work, "making months")


async def divide_tables(url: str) -> list[str]:
    """Bring tables that an earlier version filled into parts by month; the names of those.

    What is there stays as it is and becomes one part, which ends at the first of a month at least
    31 days ahead. It is read once for a check and once for the key's index while events are
    recorded; a lock is held for a moment. Returns at once where nothing is left to do.

    Args:
        url: of the owner of the tables.

    Raises:
        ForeignFramesError: a table holds frame ids of no time; it stays in one piece.
        UnavailableError: the database does not answer, or refuses.
    """

    async def work(link: AsyncConnection) -> list[str]:
        waiting = [name for name in BY_MONTH if not await _is_by_month(link, name)]
        if not waiting:
            return []
        await alone(link, _PATIENCE_S)
        divided = [name for name in waiting if not await _is_by_month(link, name)]
        await link.commit()
        for name in divided:
            await _divide(link, name)
        return divided

    return await as_owner(url, _DIVISION_S, work)


async def list_months(url: str) -> list[MonthPart]:
    """The parts of all tables by month, oldest first; of a table in one piece there is none."""

    return await as_owner(url, _LOCKS_S, read_months, "reading months")


async def read_months(link: AsyncConnection) -> list[MonthPart]:
    """The same, over a connection that is there."""
    rows = (await link.execute(_PARTS, {"names": list(BY_MONTH)})).mappings()
    return [MonthPart.model_validate(dict(row)) for row in rows]


def first_kept(parts: Sequence[MonthPart]) -> UUID | None:
    """The frame with which the months begin that all tables have; None where nothing was dropped,
    as while a table is in one piece, or what was there before the division is."""
    months = [part for part in parts if not part.is_for_others]
    begins = [part.begins for part in months if part.begins is not None]
    is_divided = {part.table for part in months} == set(BY_MONTH)
    return min(begins) if is_divided and len(begins) == len(months) else None


async def _is_by_month(link: AsyncConnection, name: str) -> bool:
    return bool(await link.scalar(_IS_BY_MONTH, {"name": name}))


async def _divide(link: AsyncConnection, name: str) -> None:
    edge = await _edge(link, name)
    async with _checked(link, name, edge):
        columns = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :key"
        key = await link.scalar(text(columns), {"key": f"{name}_pkey"})
        await link.commit()
        await link.execution_options(isolation_level="AUTOCOMMIT")
        if key != f"PRIMARY KEY ({BY_MONTH[name]})":
            index = f"{name}_month_key"
            await link.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            await link.exec_driver_sql(
                f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {name} ({BY_MONTH[name]})"
            )
        await link.exec_driver_sql(f"ALTER TABLE {name} VALIDATE CONSTRAINT {name}_before_edge")
        await _transactional(link)
        await patiently(link, partial(_remake, name, edge), _PATIENCE_S)


async def _transactional(link: AsyncConnection) -> None:
    await link.rollback()
    await link.execution_options(isolation_level="READ COMMITTED")


def _remake(name: str, edge: UUID, connection: Connection) -> None:
    if name in ("decision", "acknowledgement"):  # the key begins with it now
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}_frame_id_idx")
    connection.execute(
        text("SELECT remake_table(:name, :key, true, :edge)"),
        {"name": name, "key": BY_MONTH[name], "edge": edge},
    )
    connection.execute(_ADD, {"ahead": MONTHS_AHEAD, "since": None})


async def _edge(link: AsyncConnection, name: str) -> UUID:
    """The least frame id of the month with which the parts begin."""
    newest = f"SELECT frame_id FROM {name} ORDER BY frame_id DESC LIMIT 1"  # noqa: S608
    last = await link.scalar(text(newest))
    now = datetime.now(UTC)
    latest = now if last is None else max(minted_at(last), now)
    if latest > now + _LONG_AHEAD:
        raise ForeignFramesError(
            f"{name} holds the frame {last}, which tells no time of today: it stays in one piece"
        )
    clear = latest + _CLEAR
    month = datetime(clear.year + clear.month // 12, clear.month % 12 + 1, 1, tzinfo=UTC)
    edge = await link.scalar(text("SELECT first_frame_at(:month)"), {"month": month})
    await link.commit()
    return UUID(str(edge))


@asynccontextmanager
async def _checked(link: AsyncConnection, name: str, edge: UUID) -> AsyncIterator[None]:
    """The constraint by which the whole becomes a part without being read under a lock.

    It refuses frames of a time that has not come; whoever fails takes it away again, and where a
    process ends before that, ``add_months`` does so in time.
    """
    drop = f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {name}_before_edge"
    check = f"ADD CONSTRAINT {name}_before_edge CHECK (frame_id < '{edge}') NOT VALID"

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(drop)
        connection.exec_driver_sql(f"ALTER TABLE {name} {check}")

    def end(connection: Connection) -> None:
        connection.exec_driver_sql(drop)

    await patiently(link, begin, _PATIENCE_S)
    try:
        yield
    except BaseException:
        await _transactional(link)
        await patiently(link, end, _PATIENCE_S)
        raise
