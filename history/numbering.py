"""What the controllers' trigger numbers say of the history: numbers without a record, and twice.

A controller counts its parts in TriggerSeq, from 1 in each run of its program (PlcBootId), and the
gateway answers each number. So a number between two others of a run has an event, or it was lost.
The numbers wrap from 4294967295 to 1, or where the controller's node ends: of two numbers far from
each other the lower one is the later then.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from history.facts import SHOTS
from history.records import LostMessages, TriggerNumbers
from history.tables import METADATA
from streams.codes import LOST_TO_RETENTION
from streams.counters import MISSED_LIMIT

_DECISION = METADATA.tables["decision"]
_ACK = METADATA.tables["acknowledgement"]
_ANOMALY = METADATA.tables["anomaly"]
_LETTER = METADATA.tables["dead_letter"]
TAKEN = (_ACK.c.outcome == "acknowledged") | (
    (_ACK.c.outcome == "late") & _ACK.c.acknowledged_at.is_not(None)
)
"""Results that the controller took from its registers, in time or late."""
_NARROW = 0xFFFF
"""The last number of a counter of 16 bits."""


def of_line(table: Table, line: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    """What was captured on one line, or on any, since a moment, or ever."""
    conditions: list[ColumnElement[bool]] = []
    if line is not None:
        conditions.append(table.c.line == line)
    if since is not None:
        conditions.append(table.c.captured_at >= since)
    return conditions


async def trigger_holes(
    link: AsyncConnection, line: str | None, since: datetime | None
) -> tuple[TriggerNumbers, ...]:
    """Numbers of which no event is on record, between two of the same run that have one."""
    names = ("line", "station", "plc_boot_id", "trigger_seq", "captured_at")
    numbers = union(
        *(
            select(*(table.c[name] for name in names)).where(*of_line(table, line, since))
            for table in (_DECISION, _ACK, _ANOMALY)
        )
    ).subquery()
    run = (numbers.c.line, numbers.c.station, numbers.c.plc_boot_id)
    order = (numbers.c.trigger_seq, numbers.c.captured_at)
    before, at_before = (func.lag(one).over(partition_by=run, order_by=order) for one in order)
    steps = select(
        *run,
        before.label("before"),
        numbers.c.trigger_seq.label("seq"),
        (numbers.c.captured_at > at_before).label("is_later"),
    ).subquery()
    step = steps.c.seq - steps.c.before
    found = await link.execute(
        select(steps.c.line, steps.c.station, steps.c.plc_boot_id, steps.c.before, steps.c.seq)
        .where(step > 1, (step <= MISSED_LIMIT) | steps.c.is_later)
        .order_by(*steps.c)
    )
    return tuple(
        TriggerNumbers(line=at, station=station, plc_boot_id=boot, first=low + 1, last=high - 1)
        for at, station, boot, low, high in found
    )


async def numbered_twice(
    link: AsyncConnection, line: str | None, since: datetime | None
) -> tuple[TriggerNumbers, ...]:
    """Numbers of one run under which the controller has results of two parts.

    A counter of 16 bits gives each number again once it has wrapped.
    """
    part = func.coalesce(SHOTS.c.part_frame_id, _ACK.c.frame_id)
    run = (_ACK.c.line, _ACK.c.station, _ACK.c.plc_boot_id)
    number = (*run, _ACK.c.trigger_seq)
    parts, times = func.count(part.distinct()), func.array_agg(_ACK.c.captured_at.distinct())
    found = (
        await link.execute(
            select(*number, parts, times)
            .select_from(_ACK.outerjoin(SHOTS, SHOTS.c.frame_id == _ACK.c.frame_id))
            .where(*of_line(_ACK, line, since), TAKEN)
            .group_by(*number)
            .having(parts > 1)
            .order_by(*number)
        )
    ).all()
    wraps: dict[tuple[str, str, int], list[datetime]] = defaultdict(list)
    if found:
        end = _ACK.c.trigger_seq.between(_NARROW - MISSED_LIMIT, _NARROW)
        last = select(*run, _ACK.c.captured_at).where(*of_line(_ACK, line, since), end)
        for *of, at in await link.execute(last.order_by(_ACK.c.captured_at)):
            wraps[tuple(of)].append(at)
    return tuple(
        TriggerNumbers(line=at, station=station, plc_boot_id=boot, first=seq, last=seq)
        for at, station, boot, seq, count, times in found
        if len(times) < count or _within_a_lap(sorted(times), wraps[at, station, boot])
    )


def _within_a_lap(times: Sequence[datetime], wraps: Sequence[datetime]) -> bool:
    """Whether between two of the times no counter came to its end."""
    return any(bisect_right(wraps, a) == bisect_left(wraps, b) for a, b in pairwise(times))


def contradicted_parts(line: str | None, since: datetime | None) -> Select[UUID]:
    """Frames of which the controller has another action than its decision states."""
    same = (_DECISION.c.result_id == _ACK.c.result_id) & (_DECISION.c.frame_id == _ACK.c.frame_id)
    return (
        select(_ACK.c.frame_id)
        .select_from(_ACK.join(_DECISION, same))
        .where(
            *of_line(_ACK, line, since),
            TAKEN,
            _ACK.c.action != _DECISION.c.action,
        )
        .distinct()
    )


async def lost_messages(link: AsyncConnection, since: datetime | None) -> tuple[LostMessages, ...]:
    """Spans that roles noticed to be gone when they came back; of any line, nobody knows which."""
    names = ("stage", "topic", "partition", "offset", "error", "failed_at")
    wanted = [_LETTER.c.failed_at >= since] if since is not None else []
    found = await link.execute(
        select(*(_LETTER.c[name] for name in names))
        .where(_LETTER.c.error_type == LOST_TO_RETENTION, *wanted)
        .order_by(_LETTER.c.failed_at, _LETTER.c.topic, _LETTER.c.partition)
    )
    return tuple(
        LostMessages(
            stage=stage, topic=topic, partition=partition, first=first, error=error, noticed_at=at
        )
        for stage, topic, partition, first, error, at in found
    )
