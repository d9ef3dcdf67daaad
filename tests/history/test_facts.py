"""Facts: one row per part, the same whatever order events arrive in, and counts that add up."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.database import make_engine
from history.filters import FrameFilter
from history.queries import History
from history.statistics import ParetoBy
from history.writer import PostgresHistoryWriter
from streams.codes import AckOutcome, Action, DecisionSource, Severity
from streams.events import Acknowledgement, Decision, Review
from tests.history import make

T = TypeVar("T")
Recorded = Decision | Acknowledgement | Review
EXPERT, CLASSIFIER, FALLBACK, WATCHDOG = list(DecisionSource)[:4]


async def write(writer: PostgresHistoryWriter, events: Sequence[Recorded]) -> None:
    """One call for each event, in this order."""
    for event in events:
        match event:
            case Decision():
                await writer.add_decisions([event])
            case Acknowledgement():
                await writer.add_acknowledgements([event])
            case Review():
                await writer.add_reviews([event])


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Bench:
    """A writer and a reader of one database, driven from a test that is no coroutine."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.writer, self.engine = PostgresHistoryWriter(url), make_engine(url)
        self.history = History(url)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def close(self) -> None:
        for opened in (self.writer, self.history):
            await opened.close()
        await self.engine.dispose()


@pytest.fixture
def bench(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    made = Bench(url, loop)
    yield made
    made.run(made.close())


class Answer:
    """One decision of a part as a test draws it, with the outcomes that the PLC gave it."""

    def __init__(self, drawn: tuple[DecisionSource, bool, frozenset[AckOutcome]], shot: int):
        self.source, self.is_late, self.outcomes = drawn
        self.shot = shot


answers = st.lists(
    st.builds(
        Answer,
        st.tuples(
            st.sampled_from([EXPERT, CLASSIFIER, FALLBACK, WATCHDOG]),
            st.booleans(),
            st.frozensets(st.sampled_from(list(AckOutcome)), max_size=2),
        ),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda answer: (answer.source, answer.shot),
)


def events_of(part: UUID, drawn: Sequence[Answer], reviews: int, serial: str) -> list[Recorded]:
    """The events of one part; the answers of its second shot have a frame of their own."""
    frames = (part, UUID(int=part.int ^ 1))
    moment = make.captured(part.int % 5000)
    events: list[Recorded] = []
    for answer in drawn:
        decision = make.decision(
            0,
            answer.source,
            Action.HOLD if answer.is_late else Action.SCRAP,
            "crack",
            frame_id=frames[answer.shot],
            part_frame_id=part if answer.shot else None,
            part_id=serial,
            captured_at=moment + timedelta(milliseconds=answer.shot),
            decided_at=moment + timedelta(seconds=1),
            is_late=answer.is_late,
        )
        events.append(decision)
        for outcome in answer.outcomes:
            unwritten = outcome is AckOutcome.LATE and answer.is_late
            written = None if unwritten else decision.decided_at
            events.append(make.acknowledgement(decision, outcome, written_at=written))
    return events + [
        make.review(0, nth, frame_id=frames[nth % 2], review_id=uuid4()) for nth in range(reviews)
    ]


def expected(part: UUID, events: Sequence[Recorded]) -> tuple[object, ...] | None:
    """What the fact must say, worked out from the events alone."""
    outcomes = {"acknowledged": 0, "unacknowledged": 2, "late": 2}

    def heard(result: UUID) -> tuple[int, str | None, datetime | None]:
        found = [
            (1 if rank == 2 and ack.written_at else rank, ack.outcome.value, ack.written_at)
            for ack in events
            if isinstance(ack, Acknowledgement) and ack.result_id == result
            for known in [outcomes.get(ack.outcome.value, 3)]
            for rank in [3 if ack.outcome is AckOutcome.LATE and not ack.written_at else known]
        ]
        return min(found, key=lambda f: f[:2]) if found else (2, None, None)

    decisions = [event for event in events if isinstance(event, Decision)]
    best = min(
        decisions,
        key=lambda d: (
            d.frame_id != part,
            min(heard(d.result_id)[0], 2),
            d.is_late,
            heard(d.result_id)[0],
            list(DecisionSource).index(d.source),
            d.result_id,
        ),
        default=None,
    )
    if best is None:
        return None
    reviews = sorted(
        (e for e in events if isinstance(e, Review)), key=lambda r: (r.reviewed_at, r.review_id)
    )
    return (
        best.result_id,
        heard(best.result_id)[1],
        any(d.is_late for d in decisions),
        reviews[-1].severity.value if reviews else None,
    )


@given(
    drawn=answers,
    reviews=st.integers(0, 2),
    serial=st.sampled_from(["", "A", "B"]),
    data=st.data(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_fact_is_what_the_events_say_in_every_order(
    bench: Bench, drawn: list[Answer], reviews: int, serial: str, data: st.DataObject
) -> None:
    part = UUID(int=uuid4().int & ~1)
    events = events_of(part, drawn, reviews, serial)
    again = data.draw(st.lists(st.sampled_from(events), max_size=3), "redelivered")
    order = data.draw(st.permutations([*events, *again]), "order")

    async def record() -> tuple[object, ...] | None:
        await write(bench.writer, order)
        async with bench.engine.connect() as link:
            row = await link.execute(
                text(
                    "SELECT result_id, outcome, has_late_answer, review_severity FROM part_fact "
                    "WHERE part_frame_id IN (CAST(:part AS uuid), CAST(:shot AS uuid))"
                ),
                {"part": part, "shot": UUID(int=part.int ^ 1)},
            )
            found = row.one_or_none()
        gaps = await bench.history.gaps()
        assert (gaps.false_facts, gaps.false_counts) == ((), ())
        return None if found is None else tuple(found)

    assert bench.run(record()) == expected(part, events)


@pytest.mark.asyncio
async def test_decisions_and_their_acknowledgements_recorded_at_once(
    url: str, history: History
) -> None:
    writers = [PostgresHistoryWriter(url) for _ in range(3)]
    decided = [make.decision(n, part_id=f"S{n % 70}") for n in range(140)]
    late = [make.decision(n, CLASSIFIER, Action.SCRAP, is_late=True) for n in range(140)]
    calls = []
    for low in range(0, 140, 20):
        part = slice(low, low + 20)
        calls += [
            writers[0].add_decisions(decided[part]),
            writers[1].add_acknowledgements([make.acknowledgement(d) for d in decided[part]]),
            writers[2].add_decisions(late[part]),
            writers[2].add_reviews([make.review(n) for n in range(low, low + 20)]),
        ]
    await asyncio.gather(*calls)
    for writer in writers:
        await writer.close()
    assert (await history.gaps()).complete
    stats = await history.stats()
    assert (stats.frames, stats.parts, stats.by_outcome) == (140, 70, {"acknowledged": 140})
    assert (stats.with_late_answer, stats.reviewed) == (140, 140)


@pytest.mark.asyncio
async def test_a_frame_that_the_watchdog_decided_counts_once(
    writer: PostgresHistoryWriter, history: History
) -> None:
    triggered = make.captured(1) - timedelta(milliseconds=80)
    watchdog = make.decision(1, WATCHDOG, Action.HOLD, captured_at=triggered)
    await writer.add_decisions([watchdog, make.decision(1, EXPERT, is_late=True)])
    await writer.add_acknowledgements([make.acknowledgement(watchdog)])
    assert (await history.stats()).frames == 1
    assert [f.source async for f in history.export()] == ["watchdog"]


@pytest.mark.asyncio
async def test_several_shots_are_one_part_with_one_story(
    writer: PostgresHistoryWriter, history: History
) -> None:
    second = make.frame_id(900)
    await writer.add_decisions([make.decision(1, action=Action.SCRAP)])
    await writer.add_anomalies([make.anomaly(1, frame_id=second, part_frame_id=make.frame_id(1))])
    await writer.add_reviews([make.review(1, frame_id=second)])
    (frame,) = (await history.list_frames()).frames
    assert frame.review is not None
    assert frame.image_key is not None
    assert str(second) in frame.image_key
    assert (await history.gaps()).undecided == ()
    for asked in (second, make.frame_id(1)):
        story = await history.show(asked)
        assert story.frame_id == make.frame_id(1)
        assert [len(story.decisions), len(story.anomalies), len(story.reviews)] == [1, 1, 1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("since_s", "until_s"),
    [(None, None), (0, 3600), (450, None), (None, 2000), (910, 1790), (1000, 1300), (899, 2701)],
)
async def test_statistics_of_any_span_are_those_of_its_frames(
    writer: PostgresHistoryWriter, history: History, since_s: int | None, until_s: int | None
) -> None:
    events = [
        make.decision(
            n * 60,
            EXPERT,
            Action.PASS if n % 3 else Action.SCRAP,
            "" if n % 3 else f"c{n % 2}",
            part_id=f"P{n % 40}" if n % 5 else "",
        )
        for n in range(60)
    ]
    await writer.add_decisions(events)
    wanted = FrameFilter(
        since=None if since_s is None else make.captured(since_s),
        until=None if until_s is None else make.captured(until_s),
    )
    inside = [
        e
        for e in events
        if (since_s is None or e.captured_at >= make.captured(since_s))
        and (until_s is None or e.captured_at < make.captured(until_s))
    ]
    stats = await history.stats(wanted)
    first: dict[str, Decision] = {}
    for event in inside:
        first.setdefault(event.part_id or str(event.frame_id), event)
    passed = sum(e.action is Action.PASS for e in first.values())
    assert (stats.frames, stats.parts) == (len(inside), len(first))
    assert stats.first_pass_yield == (pytest.approx(passed / len(first)) if first else None)
    assert stats.by_action == Counter(e.action.value for e in inside)
    classes = Counter(e.class_name for e in inside if e.action is not Action.PASS)
    pareto = await history.pareto(FrameFilter(**{**vars(wanted), "passed": False}))
    assert {row.name: row.parts for row in pareto.rows} == classes
    if pareto.rows:
        assert pareto.rows[-1].cumulative_share == pytest.approx(1.0)


@pytest.mark.asyncio
async def test_a_pareto_of_a_lot_by_station(
    writer: PostgresHistoryWriter, history: History
) -> None:
    lots = {0: "a", 1: "b", 2: "a", 3: "a"}
    await writer.add_decisions(
        [make.decision(n, lot_id=lot, station=f"s{n % 2}") for n, lot in lots.items()]
    )
    found = await history.pareto(FrameFilter(lot_id="a"), ParetoBy.STATION, top=1)
    assert [(r.name, r.parts, r.share) for r in found.rows] == [("s0", 2, 2 / 3)]
    assert (found.parts, found.names) == (3, 2)


@pytest.mark.asyncio
async def test_who_may_only_record_needs_no_right_to_the_facts(
    url: str, history: History, engine: AsyncEngine
) -> None:
    async with engine.begin() as link:
        await link.execute(text("DROP ROLE IF EXISTS recorder"))
        await link.execute(text("CREATE ROLE recorder LOGIN"))
        await link.execute(
            text("GRANT SELECT, INSERT ON decision, acknowledgement, review, anomaly TO recorder")
        )
    recorder = PostgresHistoryWriter(url.replace("postgres@", "recorder@"), migrate=False)
    await recorder.add_decisions([make.decision(1)])
    await recorder.add_acknowledgements([make.acknowledgement(make.decision(1))])
    await recorder.close()
    assert (await history.stats()).by_outcome == {"acknowledged": 1}
    async with engine.begin() as link:
        await link.execute(text("DROP OWNED BY recorder"))
        await link.execute(text("DROP ROLE recorder"))


@pytest.mark.asyncio
async def test_a_review_changes_what_statistics_say_of_its_part(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_decisions([make.decision(1, action=Action.SCRAP)])
    for nth, severity in enumerate((Severity.NORMAL, Severity.DEFECT)):
        await writer.add_reviews([make.review(1, nth, severity=severity)])
        stats = await history.stats()
        assert (stats.reviewed, stats.review_agrees) == (1, nth)
