"""How PostgreSQL finds what waits for a person: by index, whatever the history holds besides.

The plans are those of a small history with sequential scans made dear, so that an index is taken
wherever one can be.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy import Select, text
from sqlalchemy.dialects import postgresql

from history.audits import queue_query
from history.filters import FrameFilter
from history.queries import History
from history.review_queue import WaitingFor, waiting_query
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, Severity
from tests.history import make

pytestmark = pytest.mark.asyncio
Node = dict[str, object]
STOPPED = ("hold", "unknown", "unsure", "late", "reject")
INDEX = {
    **dict.fromkeys(STOPPED, "part_fact_open_idx"),
    "second": "part_fact_second_draw_idx",
    "audit": "part_fact_audit_draw_idx",
}
_OTHERS = text(
    "INSERT INTO review (review_id, frame_id, reviewer, class_name, severity, comment, "
    "reviewed_at, event, is_blind) SELECT gen_random_uuid(), gen_random_uuid(), 'Ada', '', "
    "'defect', '', now(), '{}', n % 5 = 0 FROM generate_series(1, 20000) n"
)


@pytest_asyncio.fixture
async def filled(writer: PostgresHistoryWriter, history: History) -> AsyncIterator[History]:
    """Parts of which half did not pass, half of either reviewed, and reviews of other parts."""
    numbers = range(1, 400)
    odd, source = Action.HOLD, DecisionSource.CLASSIFIER
    await writer.add_decisions(
        [make.decision(n, source, odd, "crack") if n % 2 else make.decision(n) for n in numbers]
    )
    await writer.add_anomalies([make.anomaly(n) for n in numbers])
    said = {"severity": Severity.DEFECT, "is_blind": True}
    await writer.add_reviews([make.review(n, **said) for n in numbers if n % 4 < 2])
    async with history.asking("counting what is there") as link:
        await link.execute(_OTHERS)
        await link.execute(text("ANALYZE"))
    yield history


async def plan_of(history: History, query: Select[tuple[object, ...]]) -> Node:
    words = query.compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    async with history.asking("explaining") as link:
        for way in ("seqscan", "bitmapscan"):
            await link.execute(text(f"SET LOCAL enable_{way} = off"))
        asked = await link.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {words}")
        plan: Node = asked.scalar_one()[0]["Plan"]
    return plan


def scans(node: Node, for_each: bool = False) -> Iterator[tuple[Node, bool]]:
    """What reads a table, and whether it does so for each part; not what is asked for once."""
    if node.get("Parent Relationship") == "InitPlan":
        return
    for_each |= node.get("Parent Relationship") == "SubPlan"
    if "Relation Name" in node:
        yield node, for_each
    children = node.get("Plans", [])
    assert isinstance(children, list)
    for child in children:
        yield from scans(child, for_each)


async def test_no_part_costs_a_pass_over_what_was_stopped_or_reviewed(filled: History) -> None:
    for reason in WaitingFor:
        query = waiting_query(reason, FrameFilter(), "Bea", 0.1, ("quality",)).limit(12)
        found = list(scans(await plan_of(filled, query)))
        of_reviews = [
            one
            for one, for_each in found
            if for_each and one["Relation Name"] == "review"
            if one["Index Name"] != "review_withdraws_idx"
        ]
        assert bool(of_reviews) == (reason.value not in STOPPED), reason
        assert [one.get("Filter") for one in of_reviews if "Index Cond" not in one] == [], reason
        (of_facts,) = [one for one, _ in found if one["Relation Name"] == "part_fact"]
        if reason.value in INDEX:
            is_by_index = "Index Cond" in of_facts
            assert (of_facts["Index Name"], is_by_index) == (INDEX[reason.value], True), reason


async def test_the_prompts_audits_are_found_by_their_draw(filled: History) -> None:
    found = list(scans(await plan_of(filled, queue_query(FrameFilter(), 1))))
    (of_facts,) = [one for one, _ in found if one["Relation Name"] == "part_fact"]
    assert of_facts["Index Name"] == INDEX["audit"]
    assert "InitPlan" in str(of_facts["Index Cond"]), "under the highest share, of any policy"
