"""The newest recorded decisions with what the policy saw, to try an edit of a policy on."""

from history.filters import FRAMES, FrameFilter
from history.queries import History
from history.records import RecordedDecision
from history.replayed import recorded, replayed_query


async def latest_decisions(
    history: History, wanted: FrameFilter, limit: int
) -> list[RecordedDecision]:
    """Effective decisions on which a classifier or a fallback had a say, newest first.

    Raises:
        UnavailableError: the database is down.
    """
    c = FRAMES.c
    query = replayed_query(wanted).where(c.source.in_(("classifier", "fallback")))
    query = query.order_by(c.captured_at.desc(), c.frame_id.desc()).limit(limit)
    async with history.asking("reading decisions") as link:
        return [recorded(row) for row in (await link.execute(query)).mappings()]
