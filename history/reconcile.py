"""Whether the history is complete, as far as it shows by itself."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from history.records import Gaps
from history.tables import METADATA

_DECISION = METADATA.tables["decision"]
_ACK = METADATA.tables["acknowledgement"]
_ANOMALY = METADATA.tables["anomaly"]


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
