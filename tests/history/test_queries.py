"""Reading: the effective decision, pages, stories, statistics, streams, gaps."""

import asyncio
import contextlib
import itertools
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history.errors import BadQueryError, NotInHistoryError
from history.filters import FrameFilter, decode_cursor, encode_cursor, parse_moment
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import AckOutcome, Action, DecisionSource, Severity
from streams.errors import UnavailableError
from streams.events import Decision
from streams.ids import image_key, mask_key
from tests.history import make

EXPERT, CLASSIFIER, FALLBACK, WATCHDOG = (
    make.EXPERT,
    make.CLASSIFIER,
    make.FALLBACK,
    make.WATCHDOG,
)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answers", "effective"),
    make.EFFECTIVE,
)
async def test_the_effective_decision_in_any_order_of_arrival(
    writer: PostgresHistoryWriter,
    history: History,
    answers: list[tuple[DecisionSource, bool, str | None]],
    effective: DecisionSource,
) -> None:
    for number, order in enumerate(itertools.permutations(answers)):
        for source, late, outcome in order:
            event = make.decided(number, source, late)
            if outcome:
                await writer.add_acknowledgements([make.answered(event, outcome)])
            await writer.add_decisions([event])
        (frame,) = (await history.list_frames(FrameFilter(part_id=f"P{number:07}"))).frames
        assert frame.source == effective.value
        assert len(frame.other_decisions) == len(answers) - 1
    pages = (await history.list_frames(limit=100)).frames
    assert [frame async for frame in history.export()] == list(reversed(pages))


@pytest.mark.asyncio
async def test_an_acknowledgement_after_an_unanswered_write_wins(
    writer: PostgresHistoryWriter, history: History
) -> None:
    event = make.decided(1, EXPERT)
    await writer.add_decisions([event])
    for outcome in (AckOutcome.UNACKNOWLEDGED, AckOutcome.ACKNOWLEDGED):
        await writer.add_acknowledgements([make.acknowledgement(event, outcome)])
    (frame,) = (await history.list_frames()).frames
    assert (frame.outcome, frame.trigger_to_write_ms) == ("acknowledged", 205.0)


@pytest.mark.asyncio
async def test_one_row_per_frame_with_pictures_and_the_latest_review(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_decisions([make.decided(1, CLASSIFIER), make.decision(2)])
    await writer.add_anomalies([make.anomaly(1), make.anomaly(1, reason="decided")])
    await writer.add_reviews([make.review(1, nth=n, class_name=f"c{n}") for n in (1, 2, 0)])
    newer, older = (await history.list_frames()).frames
    assert (newer.review, newer.image_key) == (None, None)
    assert older.review is not None
    assert older.review.class_name == "c2"
    assert older.image_key == image_key(older.frame_id)
    assert older.mask_key == mask_key(older.frame_id)


@pytest.mark.asyncio
async def test_pages_neither_skip_nor_repeat_while_rows_arrive(
    writer: PostgresHistoryWriter, history: History
) -> None:
    same = make.captured(0)
    events = [make.decision(n, captured_at=same) for n in range(10)]
    events += [make.decision(n) for n in range(10, 25)]
    await writer.add_decisions(events)
    seen: list[UUID] = []
    cursor = None
    for turn in range(10):
        page = await history.list_frames(limit=4, cursor=cursor)
        seen += [frame.frame_id for frame in page.frames]
        await writer.add_decisions([make.decision(100 + turn)])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 25
    assert set(seen) == {event.frame_id for event in events}


@pytest.mark.asyncio
async def test_filters(writer: PostgresHistoryWriter, history: History) -> None:
    odd = "x' OR '1'='1"
    await writer.add_decisions(
        [
            make.decision(0),
            make.decision(1, CLASSIFIER, Action.SCRAP, "crack", lot_id="A"),
            make.decision(2, FALLBACK, Action.HOLD, odd, severity=Severity.UNKNOWN),
            make.decision(3, line="line-2", station="side", product_id="wood", part_id=odd),
        ]
    )
    await writer.add_reviews([make.review(1)])
    cases: list[tuple[FrameFilter, set[int]]] = [
        (FrameFilter(), {0, 1, 2, 3}),
        (FrameFilter(product="tile"), {0, 1, 2}),
        (FrameFilter(line="line-2", station="side"), {3}),
        (FrameFilter(action="scrap"), {1}),
        (FrameFilter(passed=False), {1, 2}),
        (FrameFilter(passed=True), {0, 3}),
        (FrameFilter(severity="unknown"), {2}),
        (FrameFilter(class_name="crack"), {1}),
        (FrameFilter(class_name=odd), {2}),
        (FrameFilter(part_id=odd), {3}),
        (FrameFilter(source="fallback"), {2}),
        (FrameFilter(lot_id="A"), {1}),
        (FrameFilter(reviewed=True), {1}),
        (FrameFilter(reviewed=False), {0, 2, 3}),
        (FrameFilter(policy_hash="p" * 64), {0, 1, 2, 3}),
        (FrameFilter(since=make.captured(1), until=make.captured(3)), {1, 2}),
        (FrameFilter(part_id="P\x00"), set()),
    ]
    for wanted, numbers in cases:
        frames = (await history.list_frames(wanted)).frames
        assert {f.trigger_seq - 1 for f in frames} == numbers, wanted


@pytest.mark.asyncio
async def test_a_bad_question_says_what_is_wrong(history: History) -> None:
    for bad in (
        lambda: FrameFilter(action="melt"),
        lambda: FrameFilter(since=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: decode_cursor("x' --"),
        lambda: decode_cursor(""),
        lambda: parse_moment("yesterday"),
        lambda: FrameFilter(since=parse_moment("1d"), until=parse_moment("2d")),
    ):
        with pytest.raises(BadQueryError):
            bad()
    for limit in (0, 1001):
        with pytest.raises(BadQueryError, match="limit"):
            await history.list_frames(limit=limit)


@given(at=st.datetimes(timezones=st.just(UTC)), identity=st.uuids())
@settings(deadline=None)
def test_a_cursor_comes_back_as_it_was(at: datetime, identity: UUID) -> None:
    assert decode_cursor(encode_cursor(at, identity)) == (at, identity)


def test_moments() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert parse_moment("30d", now) == now - timedelta(days=30)
    assert parse_moment("90m", now) == now - timedelta(minutes=90)
    assert parse_moment("2026-11-23") == datetime(2026, 11, 23, tzinfo=UTC)
    assert parse_moment("2026-11-23T06:00:00+02:00") == datetime(2026, 11, 23, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "words",
    [
        "", " ", "d", "-1d", "1", "1y", "1.5d", "9999999d", "999999d", "999999w", "800000d",
        "2026-13-01", "2026-02-30", "0000-01-01", "10000-01-01", "yesterday", "1d2h", "nan", "inf",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "2026-11-23T25:00", "\x00",
    ],
)  # fmt: skip
def test_absurd_moments_are_refused(words: str) -> None:
    with pytest.raises(BadQueryError):
        parse_moment(words)


@given(st.text(max_size=20) | st.from_regex(r"\d{1,7}[smhdw]", fullmatch=True))
@settings(deadline=None)
def test_any_words_are_a_moment_or_refused(words: str) -> None:
    with contextlib.suppress(BadQueryError):
        assert parse_moment(words).tzinfo is UTC


@pytest.mark.asyncio
async def test_the_picture_of_a_camera_fault_is_the_parts(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_decisions([make.decided(1, FALLBACK)])
    key = image_key(make.frame_id(1))
    await writer.add_dead_letters([(make.dead_letter(1, stage="capture"), key)])
    assert (await history.show(make.frame_id(1))).image_key == key


@pytest.mark.asyncio
async def test_the_whole_story(writer: PostgresHistoryWriter, history: History) -> None:
    fallback, late = make.decided(1, FALLBACK), make.decided(1, CLASSIFIER, late=True)
    await writer.add_decisions([late, fallback])
    await writer.add_acknowledgements([make.acknowledgement(fallback)])
    await writer.add_anomalies([make.anomaly(1)])
    await writer.add_reviews([make.review(1)])
    await writer.add_dead_letters([(make.dead_letter(1), "dead/1")])
    story = await history.show(make.frame_id(1))
    assert story.effective is not None
    assert story.effective.source == "fallback"
    assert [len(getattr(story, n)) for n in ("decisions", "acknowledgements")] == [2, 1]
    assert [len(getattr(story, n)) for n in ("anomalies", "reviews", "dead_letters")] == [1, 1, 1]
    assert story.image_key == image_key(make.frame_id(1))
    shown = Decision.model_validate(story.decisions[0])
    assert shown in (late, fallback)
    assert await history.resolve("P0000001") == make.frame_id(1)
    with pytest.raises(NotInHistoryError):
        await history.show(uuid4())


@pytest.mark.asyncio
async def test_a_part_seen_twice_is_named_by_frame(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_decisions([make.decision(n, part_id="P") for n in (1, 2)])
    with pytest.raises(BadQueryError, match=str(make.frame_id(2))):
        await history.resolve("P")
    with pytest.raises(NotInHistoryError, match="neither"):
        await history.resolve("nobody")


@pytest.mark.asyncio
async def test_a_serial_may_look_like_a_frame_id_and_no_serial_means_no_part(
    writer: PostgresHistoryWriter, history: History
) -> None:
    serial, frame = str(uuid4()), make.frame_id(3)
    await writer.add_decisions([make.decision(1, part_id=serial), make.decision(2, part_id="")])
    assert await history.resolve(serial) == make.frame_id(1)
    assert await history.resolve(str(frame)) == frame
    with pytest.raises(NotInHistoryError):
        await history.resolve("")


@pytest.mark.asyncio
async def test_a_frame_that_was_never_decided_has_a_story_too(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_anomalies([make.anomaly(1)])
    story = await history.show(make.frame_id(1))
    assert story.effective is None
    assert (await history.gaps()).undecided == (make.frame_id(1),)


@pytest.mark.asyncio
async def test_statistics(writer: PostgresHistoryWriter, history: History) -> None:
    await writer.add_decisions(
        [
            make.decision(0, part_id="A", product_id="x", action=Action.REWORK, class_name="crack"),
            make.decision(1, part_id="A", product_id="x"),
            make.decision(2, part_id="B", product_id="x"),
            make.decision(3, part_id="", product_id="x"),
            make.decision(4, part_id="", product_id="x"),
            make.decision(5, FALLBACK, Action.HOLD, "hole", product_id="x"),
            make.decided(5, CLASSIFIER, late=True).model_copy(update={"product_id": "x"}),
            make.decision(90_000, product_id="other"),
        ]
    )
    await writer.add_reviews(
        [make.review(0), make.review(5, severity=Severity.NEGLIGIBLE), make.review(77)]
    )
    stats = await history.stats(FrameFilter(product="x"))
    assert (stats.frames, stats.parts) == (6, 5)
    assert stats.first_pass_yield == pytest.approx(3 / 5)
    assert stats.by_action == {"pass": 4, "rework": 1, "hold": 1}
    assert stats.by_class == {"crack": 1, "hole": 1}
    assert stats.by_source == {"expert": 5, "fallback": 1}
    assert {c.name: c.count for c in stats.top_reasons} == {"class:crack": 1, "class:hole": 1}
    assert (stats.reviewed, stats.review_agrees, stats.with_late_answer) == (2, 1, 1)
    everything = await history.stats()
    assert [(d.day, d.frames) for d in everything.by_day] == [("2026-11-01", 6), ("2026-11-02", 1)]
    assert (await history.stats(FrameFilter(product="none"))).first_pass_yield is None


@pytest.mark.asyncio
async def test_a_stream_is_every_effective_decision_in_order(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_decisions([make.decision(n) for n in range(50)])
    await writer.add_decisions([make.decided(7, WATCHDOG)])
    await writer.add_acknowledgements([make.acknowledgement(make.decided(7, WATCHDOG))])
    await writer.add_reviews([make.review(7)])
    found = [d async for d in history.stream_decisions(batch=7)]
    assert [d.frame_id for d in found] == [make.frame_id(n) for n in range(50)]
    seventh = found[7]
    assert seventh.source is WATCHDOG
    assert seventh.inspection == make.inspection()
    assert seventh.classification == make.classification()
    assert seventh.review is not None
    assert seventh.review.severity == "defect"
    assert found[8].classification is None
    late = [d async for d in history.stream_decisions(FrameFilter(since=make.captured(40)))]
    assert len(late) == 10
    assert [r.frame_id async for r in history.export()] == [d.frame_id for d in found]


@pytest.mark.asyncio
async def test_a_stream_left_early_gives_its_connection_back(
    writer: PostgresHistoryWriter, url: str
) -> None:
    await writer.add_decisions([make.decision(n) for n in range(30)])
    history = History(url, pool_size=1, timeout_s=2.0)
    async with aclosing(history.stream_decisions(batch=5)) as found:
        async for _ in found:
            break
    assert len((await history.list_frames()).frames) == 30
    await history.close()


@pytest.mark.asyncio
async def test_a_database_that_is_down_is_unavailable() -> None:
    history = History("postgresql+asyncpg://postgres@127.0.0.1:1/andon", timeout_s=2)
    with pytest.raises(UnavailableError):
        await history.list_frames()
    with pytest.raises(UnavailableError):
        async for _ in history.stream_decisions():
            pass
    await history.close()


@pytest.mark.asyncio
async def test_readers_and_writers_at_once(writer: PostgresHistoryWriter, history: History) -> None:
    async def read() -> list[int]:
        return [(await history.stats()).frames for _ in range(10)]

    writes = (writer.add_decisions([make.decision(n)]) for n in range(40))
    *_, first, second = await asyncio.gather(*writes, read(), read())
    for counts in (first, second):
        assert counts == sorted(counts)
    assert (await history.stats()).frames == 40
