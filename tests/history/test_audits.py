"""Blind audits: who is drawn, who waits, what counts in the rate of escapes."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.filters import FrameFilter
from history.policy_log import PolicyLog
from history.queries import History
from history.records import AuditCount
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, Severity
from streams.ids import audit_draw
from tests.history import make

HALF, NONE = "a" * 64, "b" * 64
DRAWN = [n for n in range(1, 60) if audit_draw(make.frame_id(n)) < 0.5]
LEFT = [n for n in range(1, 60) if n not in DRAWN]


@pytest_asyncio.fixture
async def policies(url: str) -> AsyncIterator[None]:
    """One policy that draws half of what passes, one that draws nothing."""
    log = PolicyLog(url)
    await log.store_version(HALF, "tile", {"audit_share": 0.5})
    await log.store_version(NONE, "tile", {"audit_share": 0.0})
    await log.close()
    yield


@pytest.mark.asyncio
async def test_the_database_draws_as_the_line_does(engine: AsyncEngine) -> None:
    parts = [uuid4() for _ in range(50)] + [UUID(int=0), UUID(int=(1 << 128) - 1)]
    async with engine.connect() as link:
        query = text("SELECT audit_draw(p) FROM unnest(cast(:parts AS uuid[])) p")
        found = list((await link.execute(query, {"parts": parts})).scalars())
    assert found == [audit_draw(part) for part in parts]
    assert all(0 <= number < 1 for number in found)


async def fill(writer: PostgresHistoryWriter) -> None:
    """Drawn: a normal, one by class, one scrapped; not drawn: a normal; one under no audits."""
    water = {"source": DecisionSource.CLASSIFIER, "class_name": "water"}
    passed = [
        make.decision(DRAWN[0], policy_hash=HALF),
        make.decision(DRAWN[1], policy_hash=HALF, severity=Severity.NEGLIGIBLE, **water),
        make.decision(LEFT[0], policy_hash=HALF),
        make.decision(DRAWN[3], policy_hash=NONE),
    ]
    stopped = make.decision(DRAWN[2], DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
    await writer.add_decisions([*passed, stopped.model_copy(update={"policy_hash": HALF})])
    await writer.add_anomalies([make.anomaly(DRAWN[0], "audit"), make.anomaly(DRAWN[1])])


@pytest.mark.asyncio
@pytest.mark.usefixtures("policies")
async def test_parts_that_pass_by_class_wait_like_normals_and_a_blind_review_ends_it(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await fill(writer)
    queue = await history.audit_queue(limit=5)
    drawn = {make.frame_id(DRAWN[0]), make.frame_id(DRAWN[1])}
    assert (queue.waiting, {p.part_frame_id for p in queue.parts}) == (2, drawn)
    assert len((await history.audit_queue(limit=1)).parts) == 1
    assert (await history.audit_queue(FrameFilter(product="other"))).waiting == 0
    await writer.add_reviews([make.review(DRAWN[0])])
    assert (await history.audit_queue()).waiting == 2  # that review knew the verdict
    await writer.add_reviews([make.review(DRAWN[0], 1, is_blind=True)])
    left = await history.audit_queue()
    assert [p.part_frame_id for p in left.parts] == [make.frame_id(DRAWN[1])]
    assert await history.is_audited(make.frame_id(DRAWN[0]))
    for number in (DRAWN[2], DRAWN[3], LEFT[0]):
        assert not await history.is_audited(make.frame_id(number))


@pytest.mark.asyncio
@pytest.mark.usefixtures("policies")
async def test_only_blind_reviews_of_drawn_parts_count(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await fill(writer)
    await writer.add_decisions([make.decision(DRAWN[4], policy_hash=HALF)])
    await writer.add_reviews(
        [
            make.review(DRAWN[0], is_blind=True, severity=Severity.NORMAL),
            make.review(DRAWN[0], 1, severity=Severity.DEFECT),
            make.review(DRAWN[1], is_blind=True, severity=Severity.DEFECT),
            make.review(LEFT[0], is_blind=True, severity=Severity.DEFECT),
            make.review(DRAWN[2], is_blind=True, severity=Severity.DEFECT),
        ]
    )
    counts = {(c.policy_hash, c.class_name): c for c in await history.audit_counts()}
    of = {"product_id": "tile", "expert_version": "e" * 64}
    assert counts == {
        (HALF, ""): AuditCount(
            **of,
            class_name="",
            policy_hash=HALF,
            share=0.5,
            passed=3,
            drawn=2,
            without_picture=1,
            reviewed=1,
        ),
        (HALF, "water"): AuditCount(
            **of,
            class_name="water",
            policy_hash=HALF,
            share=0.5,
            passed=1,
            drawn=1,
            reviewed=1,
            escapes=1,
        ),
        (NONE, ""): AuditCount(**of, class_name="", policy_hash=NONE, share=0.0, passed=1),
    }
    await writer.add_reviews([make.review(DRAWN[1], 1, is_blind=True, severity=Severity.UNKNOWN)])
    (water,) = await history.audit_counts(FrameFilter(class_name="water"))
    assert (water.reviewed, water.escapes, water.undecided) == (0, 0, 1)


@pytest.mark.asyncio
async def test_a_policy_that_the_history_does_not_have_draws_nothing(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await fill(writer)
    assert (await history.audit_queue()).waiting == 0
    assert {count.share for count in await history.audit_counts()} == {None}
