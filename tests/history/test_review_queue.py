"""Who waits for a person and why: each reason, second and settling reviews, and what is undone."""

from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import md5
from uuid import UUID

import pytest
import pytest_asyncio

from history.accounts import Accounts, ConsoleUser
from history.console_audit import Deed
from history.filters import FrameFilter
from history.policy_log import PolicyLog
from history.queries import History
from history.review_queue import ReviewQueue, WaitingFor
from history.reviews import ReviewerSaid, build_review, build_withdrawal
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, Severity
from streams.events import Decision, Review
from streams.ids import audit_draw
from streams.regions import region_mask
from tests.history import make

ALL, NONE = "a" * 64, "b" * 64
EVERYTHING = FrameFilter()
pytestmark = pytest.mark.asyncio


def stopped(number: int, action: Action = Action.HOLD, **change: object) -> Decision:
    return make.decision(number, DecisionSource.CLASSIFIER, action, "crack", **change)


def said(number: int, who: str, severity: Severity, nth: int = 0, **change: object) -> Review:
    return make.review(number, nth, reviewer=who, severity=severity, class_name="", **change)


@pytest_asyncio.fixture
async def queue(url: str, history: History) -> AsyncIterator[ReviewQueue]:
    log = PolicyLog(url)
    await log.store_version(ALL, "tile", {"audit_share": 1.0, "second_review": 1.0})
    await log.store_version(NONE, "tile", {"audit_share": 0.0, "second_review": 0.0})
    await log.close()
    yield ReviewQueue(history, 0.5)


async def numbers(
    queue: ReviewQueue, waits_for: WaitingFor, who: str = "Bea", limit: int = 50, **given: object
) -> list[int]:
    found = await queue.waiting(waits_for, FrameFilter(**given), who, limit=limit)  # type: ignore[arg-type]
    known = {make.frame_id(n): n for n in range(100)}
    return [known[part.part_frame_id] for part in found]


async def test_each_stopped_part_waits_for_one_reason(
    writer: PostgresHistoryWriter, queue: ReviewQueue
) -> None:
    unknown = {"severity": Severity.UNKNOWN, "rule": "fallback:unknown"}
    parts = [
        stopped(1),
        stopped(2),
        make.decision(3, DecisionSource.CLASSIFIER, Action.HOLD, "unknown", **unknown),
        stopped(4, rule="fallback:unsure"),
        make.decision(5, DecisionSource.WATCHDOG, Action.HOLD, rule="fallback:no_decision"),
        stopped(6, Action.SCRAP),
        stopped(7),
        make.decision(8),
    ]
    await writer.add_decisions(parts)
    await writer.add_anomalies([make.anomaly(n) for n in (1, 2, 3, 4, 5, 6, 8)])
    assert await numbers(queue, WaitingFor.HOLD) == [2, 1]
    assert await numbers(queue, WaitingFor.UNKNOWN) == [3]
    assert await numbers(queue, WaitingFor.UNSURE) == [4]
    assert await numbers(queue, WaitingFor.LATE) == [5]
    assert await numbers(queue, WaitingFor.REJECT) == [6]
    counts = await queue.counts(EVERYTHING, "Bea", list(WaitingFor))
    assert {k.value: n for k, n in counts.items() if n} == {
        "hold": 2,
        "unknown": 1,
        "unsure": 1,
        "late": 1,
        "reject": 1,
    }
    oldest = await queue.oldest(EVERYTHING, "Bea", list(WaitingFor))
    first = {"hold": 1, "unknown": 3, "unsure": 4, "late": 5, "reject": 6}
    assert {reason.value: at for reason, at in oldest.items()} == {
        reason: make.captured(number) for reason, number in first.items()
    }
    assert await numbers(queue, WaitingFor.HOLD, line="other") == []
    left = await queue.waiting(WaitingFor.HOLD, EVERYTHING, "Bea", {make.frame_id(2)}, 5)
    assert [part.part_frame_id for part in left] == [make.frame_id(1)]
    await writer.add_reviews([said(2, "Ada", Severity.NORMAL)])
    assert await numbers(queue, WaitingFor.HOLD) == [1]


async def test_audits_wait_as_at_the_prompt(
    writer: PostgresHistoryWriter, queue: ReviewQueue, history: History
) -> None:
    await writer.add_decisions([make.decision(n, policy_hash=ALL) for n in range(1, 9)])
    await writer.add_anomalies([make.anomaly(n, "audit") for n in range(1, 8)])
    await writer.add_reviews([said(1, "Ada", Severity.NORMAL), said(2, "Ada", Severity.DEFECT)])
    await writer.add_reviews([said(3, "Ada", Severity.NORMAL, is_blind=True)])
    there = await queue.waiting(WaitingFor.AUDIT, EVERYTHING, "Bea", limit=50)
    prompt = await history.audit_queue(EVERYTHING, 50)
    assert [p.part_frame_id for p in there] == [p.part_frame_id for p in prompt.parts]
    assert len(there) == 6, "who had seen the verdict did not audit"
    assert WaitingFor.AUDIT.is_blind
    without = await queue.waiting(WaitingFor.AUDIT, EVERYTHING, "Bea", {there[0].part_frame_id}, 1)
    assert without == [there[1]]


async def test_what_is_taken_back_is_as_if_it_were_not_said(
    writer: PostgresHistoryWriter, queue: ReviewQueue, history: History
) -> None:
    await writer.add_decisions([stopped(1), make.decision(2, policy_hash=ALL)])
    await writer.add_anomalies([make.anomaly(1), make.anomaly(2, "audit")])
    first = build_review(make.frame_id(1), "Ada", "normal")
    blind = build_review(make.frame_id(2), "Ada", "defect", is_blind=True)
    await writer.add_reviews([first, blind])
    assert await numbers(queue, WaitingFor.HOLD) == []
    assert await numbers(queue, WaitingFor.AUDIT) == []
    foreign = build_withdrawal(first).model_copy(update={"reviewer": "Eve"})
    await writer.add_reviews([foreign])
    assert await numbers(queue, WaitingFor.HOLD) == [], "nobody takes back another's word"
    await writer.add_reviews([build_withdrawal(first), build_withdrawal(blind)])
    assert await numbers(queue, WaitingFor.HOLD) == [1]
    assert await numbers(queue, WaitingFor.AUDIT) == [2]
    page = await history.list_frames(FrameFilter(part_id="P0000001"))
    assert page.frames[0].review is None
    assert (await history.stats()).reviewed == 0
    assert (await history.gaps()).complete or not (await history.gaps()).false_facts
    again = build_review(make.frame_id(1), "Ada", "defect", "crack")
    await writer.add_reviews([again])
    page = await history.list_frames(FrameFilter(part_id="P0000001"))
    assert page.frames[0].review is not None
    assert page.frames[0].review.class_name == "crack"


async def test_a_second_person_is_drawn_and_never_oneself(
    writer: PostgresHistoryWriter, queue: ReviewQueue
) -> None:
    drawn = [
        n
        for n in range(1, 40)
        if audit_draw(UUID(md5(f"second{make.frame_id(n)}".encode()).hexdigest())) < 0.5
    ]
    others = [n for n in range(1, 40) if n not in drawn]
    asked, never, by_share, not_drawn = others[0], drawn[0], drawn[1], others[1]
    hashes = {asked: ALL, never: NONE, by_share: "p" * 64, not_drawn: "p" * 64}
    await writer.add_decisions([stopped(n, policy_hash=h) for n, h in hashes.items()])
    await writer.add_anomalies([make.anomaly(n) for n in hashes])
    await writer.add_reviews([said(n, "Ada", Severity.DEFECT) for n in hashes])
    assert await numbers(queue, WaitingFor.SECOND) == sorted((asked, by_share))
    assert await numbers(queue, WaitingFor.SECOND, who="Ada") == []
    assert await numbers(queue, WaitingFor.SECOND, who="Ada (token gauge)") == []
    by_token = said(by_share, "Ada (token gauge)", Severity.NORMAL, nth=2, is_blind=True)
    await writer.add_reviews([by_token])
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == [], "nobody disagrees with oneself"
    assert await numbers(queue, WaitingFor.SECOND) == sorted((asked, by_share))
    second = said(asked, "Bea", Severity.DEFECT, nth=1, is_blind=True)
    await writer.add_reviews([second])
    assert await numbers(queue, WaitingFor.SECOND, who="Cem") == [by_share]
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == []


async def test_a_disagreement_waits_until_it_is_settled(
    writer: PostgresHistoryWriter, queue: ReviewQueue, history: History
) -> None:
    await writer.add_decisions([make.decision(1, policy_hash=ALL), stopped(2)])
    await writer.add_anomalies([make.anomaly(1, "audit"), make.anomaly(2)])
    audit = said(1, "Ada", Severity.NORMAL, is_blind=True)
    await writer.add_reviews([audit, said(2, "Ada", Severity.NORMAL)])
    corrected = said(2, "Bea", Severity.DEFECT, nth=1)
    await writer.add_reviews([corrected])
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == [], "the second saw the first"
    await writer.add_reviews([said(1, "Bea", Severity.DEFECT, nth=1, is_blind=True)])
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == [1]
    (counted,) = [c for c in await history.audit_counts() if c.policy_hash == ALL]
    assert (counted.reviewed, counted.escapes) == (1, 1)
    at = make.captured(1) + timedelta(hours=9)
    settled = build_review(
        make.frame_id(1),
        "Cem",
        "normal",
        reviewed_at=at,
        said=ReviewerSaid(login="password", is_settlement=True),
    )
    await writer.add_reviews([settled])
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == []
    (counted,) = [c for c in await history.audit_counts() if c.policy_hash == ALL]
    assert (counted.reviewed, counted.escapes) == (1, 0)


async def test_a_third_person_settles_where_there_is_one(
    url: str, writer: PostgresHistoryWriter, queue: ReviewQueue, history: History
) -> None:
    """One of the two could decide alone that they had been right."""
    people = Accounts(url, timeout_s=10.0)
    deed = Deed(actor="setup", action="user.add")
    queue = ReviewQueue(history, 0.5, ["quality"])

    async def waits_for_ada() -> list[int]:
        waiting = await numbers(queue, WaitingFor.DISAGREEMENT, who="Ada (token gauge)")
        assert await numbers(queue, WaitingFor.DISAGREEMENT, who="Cem") == [1]
        return waiting

    async def add(name: str, role: str = "quality") -> None:
        await people.add(ConsoleUser(name=name, role=role), "nothing", deed)

    await writer.add_decisions([make.decision(1, policy_hash=ALL)])
    await writer.add_anomalies([make.anomaly(1, "audit")])
    await writer.add_reviews([said(1, "Ada", Severity.NORMAL, is_blind=True)])
    await writer.add_reviews([said(1, "Bea", Severity.DEFECT, nth=1, is_blind=True)])
    for name, role in (("Ada", "quality"), ("Bea", "quality"), ("Eve", "engineer")):
        await add(name, role)
    assert await waits_for_ada() == [1], "nobody else may review: the two have to"
    await add("Cem")
    assert await waits_for_ada() == []
    again = said(1, "Ada", Severity.NORMAL, nth=2)
    await writer.add_reviews([again])
    assert await waits_for_ada() == [], "who repeats it, having chosen the part, ends nothing"
    await writer.add_reviews([build_withdrawal(again), said(1, "Ada", Severity.DEFECT, nth=3)])
    assert await numbers(queue, WaitingFor.DISAGREEMENT, who="Cem") == [], "Ada gave in"
    await people.close()


async def test_what_is_shown_beside(
    writer: PostgresHistoryWriter, queue: ReviewQueue, history: History
) -> None:
    await writer.add_decisions([stopped(1), stopped(5), *(make.decision(n) for n in (2, 3, 4))])
    await writer.add_anomalies([make.anomaly(n) for n in (1, 2, 3, 5)])
    found = await queue.references("tile", "top")
    assert [(r.frame_id, r.is_reviewed) for r in found] == [
        (make.frame_id(3), False),
        (make.frame_id(2), False),
    ]
    painted = build_review(
        make.frame_id(5), "Ada", "defect", "crack", said=ReviewerSaid(region=make.region())
    )
    normal = said(2, "Ada", Severity.NORMAL)
    await writer.add_reviews([normal, painted, said(1, "Ada", Severity.NORMAL)])
    (reference,) = await queue.references("tile", "top")
    assert (reference.frame_id, reference.is_reviewed) == (make.frame_id(2), True)
    regions = await history.painted([painted.review_id, normal.review_id])
    assert regions.keys() == {painted.review_id}
    frame, region = regions[painted.review_id]
    assert frame == make.frame_id(5)
    assert region_mask(region).sum() == region_mask(make.region()).sum()
    rejects = await queue.rejects(EVERYTHING)
    assert (rejects.stopped, rejects.reviewed, rejects.false_alarms) == (2, 2, 1)
    assert await queue.policy_body(ALL) == {"audit_share": 1.0, "second_review": 1.0}
    assert await queue.policy_body("x") == {}


async def test_a_part_whose_second_photograph_alone_is_kept_waits(
    writer: PostgresHistoryWriter, queue: ReviewQueue
) -> None:
    part, shot = make.frame_id(7), make.frame_id(200_007)
    of_part = {"part_frame_id": part, "shot": 2, "shots_expected": 3}
    await writer.add_decisions([stopped(7)])
    assert await numbers(queue, WaitingFor.HOLD) == []
    await writer.add_anomalies([make.anomaly(7, frame_id=shot, **of_part)])
    assert await numbers(queue, WaitingFor.HOLD) == [7]
    await writer.add_reviews([said(7, "Ada", Severity.NORMAL, frame_id=shot)])
    assert await numbers(queue, WaitingFor.HOLD) == []
    second = said(7, "Bea", Severity.DEFECT, nth=1, is_blind=True)
    await writer.add_reviews([second])
    assert await numbers(queue, WaitingFor.DISAGREEMENT) == [7]
