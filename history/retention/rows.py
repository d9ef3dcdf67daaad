"""Drops the rows of months that are over, and the facts of their parts.

It may be stopped at any moment, run again and run twice at once: what is left undone, the next run
does.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, TextClause, Uuid, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from history.console_audit import Deed, add_deed
from history.months import MonthPart, first_kept, list_months, read_months
from history.schema_lock import as_owner, patiently
from streams.ids import minted_at

_SLICE: Final = 5000
_NO_TABLE: Final = "42P01"
"""SQLSTATE of a part that another run has dropped meanwhile."""
_ORPHANS: Final = """
SELECT f.part_frame_id FROM part_fact f
WHERE (f.part_frame_id < :edge OR f.part_frame_id = ANY (:odd))
    AND NOT EXISTS (SELECT FROM unnest(part_frames(f.part_frame_id)) p(frame)
        CROSS JOIN LATERAL (SELECT FROM decision i WHERE i.frame_id = p.frame OFFSET 0) d)
ORDER BY 1 LIMIT :most"""
"""Facts of which no decision is left: also a frame of before the months, minted by a clock that was
wrong, has one in the part for all others."""
_SHOTS: Final = """
SELECT s.frame_id FROM shot s
WHERE (s.frame_id < :edge OR s.frame_id = ANY (:odd) OR s.part_frame_id = ANY (:odd))
    AND NOT EXISTS (SELECT FROM part_fact f WHERE f.part_frame_id = s.part_frame_id)
    AND NOT EXISTS (SELECT FROM review r WHERE r.frame_id = ANY (part_frames(s.part_frame_id)))
ORDER BY 1 LIMIT :most"""
"""Those of a reviewed part stay: its pictures are kept for longer, all of them."""


async def drop_months(
    url: str,
    before: datetime,
    told: Callable[[MonthPart], None],
    deed: Deed,
    is_trial: bool = False,
    timeout_s: float = 60.0,
) -> None:
    """Drop the parts whose whole time is before a moment, and the facts of those months.

    Counts by quarter of an hour stay, and so do reviews. The part of what was there before the
    division goes when all of it is over; until then the months in it stay. Of the part for all
    other frames, which were minted by a clock that was wrong, what was recorded in those months is
    removed.

    Args:
        url: of the owner of the tables.
        before: a time with a zone.
        told: is called with each part that was dropped, or of which rows were removed.
        deed: who does so. It is in the audit with each part, in one transaction with its end, so
            that a commit whose answer is lost leaves no part out; ``after`` becomes the part.
        is_trial: drop nothing, only say what would go.
        timeout_s: how long the lock of a table is tried.

    Raises:
        UnavailableError: the database does not answer, or the role does not own the tables.
    """
    parts = await list_months(url)
    over = [part for part in parts if part.ends is not None and minted_at(part.ends) <= before]
    month = before.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    async def work(link: AsyncConnection) -> None:
        odd = [part for part in parts if part.is_for_others and await _has_old(link, part, month)]
        if is_trial:
            for part in over + odd:
                told(part)
            return
        for part in over + odd:
            remove = partial(_remove_old, month) if part.is_for_others else _drop
            if await _done(link, partial(remove, part, deed), timeout_s):
                told(part)
        edge = first_kept(await read_months(link)) or UUID(int=0)
        await _forget(link, "part_fact", "part_frame_id", _ORPHANS, edge)
        await _forget(link, "shot", "frame_id", _SHOTS, edge)

    doing = "dropping months, which waits for whoever reads them (a backup): run it again then"
    await as_owner(url, max(timeout_s, 600.0), work, doing)


async def _has_old(link: AsyncConnection, part: MonthPart, month: datetime) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {part.name} WHERE recorded_at < :month)"  # noqa: S608
    return bool(await link.scalar(text(query), {"month": month}))


async def _done(link: AsyncConnection, remove: Callable[[Connection], None], s: float) -> bool:
    """Whether it was done here, and not by another run that was quicker."""
    try:
        await patiently(link, remove, s)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _NO_TABLE:
            raise
        return False
    return True


def name_of(part: MonthPart) -> str:
    """What goes of a part; of the one for all others only what was recorded in those months."""
    return f"{'rows of ' * part.is_for_others}{part.name}"


def _drop(part: MonthPart, deed: Deed, connection: Connection) -> None:
    connection.exec_driver_sql(f"DROP TABLE {part.name}")
    add_deed(connection, deed.model_copy(update={"after": name_of(part)}))


def _remove_old(month: datetime, part: MonthPart, deed: Deed, connection: Connection) -> None:
    """Remove what was recorded before a month, and the facts that nothing is left of with it: no
    later run knew their frames. Rows are never changed: the owner says so for this transaction."""
    query = f"DELETE FROM {part.name} WHERE recorded_at < :month RETURNING frame_id"  # noqa: S608
    connection.exec_driver_sql(f"ALTER TABLE {part.name} DISABLE TRIGGER insert_only")
    frames = sorted({*connection.scalars(text(query), {"month": month})})
    connection.exec_driver_sql(f"ALTER TABLE {part.name} ENABLE TRIGGER insert_only")
    those = {"edge": UUID(int=0), "odd": frames, "most": None}
    connection.execute(_deletion("part_fact", "part_frame_id", _ORPHANS), those)
    connection.execute(_deletion("shot", "frame_id", _SHOTS), those)
    add_deed(connection, deed.model_copy(update={"after": name_of(part)}))


async def _forget(link: AsyncConnection, table: str, key: str, found: str, edge: UUID) -> None:
    """Delete what a query finds before a frame, a slice at a time."""
    query, those = _deletion(table, key, found), {"edge": edge, "odd": [], "most": _SLICE}
    while (await link.execute(query, those)).rowcount:
        await link.commit()
    await link.commit()


def _deletion(table: str, key: str, found: str) -> TextClause:
    query = text(f"DELETE FROM {table} WHERE {key} IN ({found})")  # noqa: S608
    return query.bindparams(bindparam("edge", type_=Uuid), bindparam("odd", type_=ARRAY(Uuid)))
