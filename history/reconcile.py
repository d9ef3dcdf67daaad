"""Is the history complete? Identities for a reckoning, and the gaps it shows by itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from history.records import Gaps, Identities
from history.tables import METADATA

_DECISION = METADATA.tables["decision"]
_ACK = METADATA.tables["acknowledgement"]
_ANOMALY = METADATA.tables["anomaly"]


async def read_identities(
    link: AsyncConnection, line: str | None, since: datetime | None
) -> Identities:
    """Ids of all rows of the line's frames captured since the moment."""

    async def rows(table: Table, *columns: str) -> list[Any]:
        query = select(*(table.c[name] for name in columns)).where(*_of(table, line, since))
        return list(await link.execute(query))

    decisions = await rows(_DECISION, "result_id", "frame_id")
    acks = await rows(_ACK, "result_id", "outcome")
    return Identities(
        decisions=frozenset(row[0] for row in decisions),
        frames=frozenset(row[1] for row in decisions),
        acknowledgements=frozenset((row[0], row[1]) for row in acks),
        anomalies=frozenset(row[0] for row in await rows(_ANOMALY, "frame_id")),
    )


async def read_gaps(link: AsyncConnection, line: str | None, since: datetime | None) -> Gaps:
    """Frames without a decision, decisions without an answer, frames acknowledged twice."""
    known = union(
        *(select(table.c.frame_id).where(*_of(table, line, since)) for table in (_ACK, _ANOMALY))
    ).subquery()
    decided = select(_DECISION.c.frame_id).where(_DECISION.c.frame_id == known.c.frame_id)
    answered = select(_ACK.c.frame_id).where(_ACK.c.frame_id == _DECISION.c.frame_id)
    unanswered = (
        select(_DECISION.c.frame_id).where(*_of(_DECISION, line, since), ~answered.exists())
    ).distinct()
    twice = (
        select(_ACK.c.frame_id)
        .where(*_of(_ACK, line, since), _ACK.c.outcome == "acknowledged")
        .group_by(_ACK.c.frame_id)
        .having(func.count(_ACK.c.result_id.distinct()) > 1)
    )
    undecided = select(known.c.frame_id).where(~decided.exists())
    found = [
        tuple(sorted((await link.execute(query)).scalars()))
        for query in (undecided, unanswered, twice)
    ]
    return Gaps(undecided=found[0], unanswered=found[1], decided_twice=found[2])


def _of(table: Table, line: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if line is not None:
        conditions.append(table.c.line == line)
    if since is not None:
        conditions.append(table.c.captured_at >= since)
    return conditions
