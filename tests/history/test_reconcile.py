"""``andon history check``: what was never decided or written, and facts that are false."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import LOST_TO_RETENTION, AckOutcome, Action, DecisionSource
from tests.history import make


@pytest.mark.asyncio
async def test_gaps(writer: PostgresHistoryWriter, history: History) -> None:
    events = [make.decision(n) for n in range(4)]
    watchdog = make.decided(1, DecisionSource.WATCHDOG)
    await writer.add_decisions([*events, watchdog, make.decision(9, line="line-2")])
    acks = [make.acknowledgement(e) for e in (events[0], events[1], watchdog)]
    await writer.add_acknowledgements(acks)
    orphan = make.acknowledgement(make.decision(8))
    await writer.add_acknowledgements([orphan])
    await writer.add_anomalies([make.anomaly(2)])
    gaps = await history.gaps("line-1")
    assert gaps.undecided == (make.frame_id(8),)
    assert gaps.unanswered == (make.frame_id(2), make.frame_id(3))
    assert gaps.decided_twice == (make.frame_id(1),)
    assert not gaps.complete
    assert (await history.gaps("line-3")).complete
    assert (await history.gaps("line-1", since=make.captured(9))).complete


@pytest.mark.asyncio
async def test_a_result_that_came_late_is_counted_and_is_no_gap(
    writer: PostgresHistoryWriter, history: History
) -> None:
    events = [make.decision(n) for n in range(3)]
    await writer.add_decisions(events)
    unwritten = {"written_at": None, "acknowledged_at": None, "result_seq": 0}
    acks = [
        make.acknowledgement(events[0], AckOutcome.LATE),
        make.acknowledgement(events[1], AckOutcome.LATE, **unwritten),
        make.acknowledgement(events[2]),
    ]
    await writer.add_acknowledgements(acks)
    answered_late = make.decided(2, DecisionSource.CLASSIFIER, late=True)
    await writer.add_decisions([answered_late])
    said = make.acknowledgement(answered_late, AckOutcome.LATE, **unwritten)
    await writer.add_acknowledgements([said])
    gaps = await history.gaps("line-1")
    assert (gaps.late, gaps.written_late, gaps.complete) == (2, 1, True)
    assert (await history.stats()).by_outcome == {"acknowledged": 1, "late": gaps.late}
    watchdog = make.decided(0, DecisionSource.WATCHDOG)
    await writer.add_decisions([watchdog])
    await writer.add_acknowledgements([make.acknowledgement(watchdog)])
    assert (await history.gaps("line-1")).decided_twice == (make.frame_id(0),)


@pytest.mark.asyncio
async def test_a_false_fact_and_a_false_count_are_found(
    writer: PostgresHistoryWriter, history: History, engine: AsyncEngine
) -> None:
    await writer.add_decisions([make.decision(n) for n in range(3)])
    changes = (
        "UPDATE part_fact SET action = 'scrap' WHERE part_frame_id = :id",
        "UPDATE part_count SET parts = parts + 1",
    )
    async with engine.begin() as link:
        await link.execute(text(changes[0]), {"id": make.frame_id(1)})
    gaps = await history.gaps(line="line-1", since=make.captured(0))
    assert gaps.false_facts == (make.frame_id(1),)
    assert not gaps.complete
    async with engine.begin() as link:
        await link.execute(
            text("SELECT refresh_facts(ARRAY[CAST(:id AS uuid)])"), {"id": make.frame_id(1)}
        )
        await link.execute(text(changes[1]))
    gaps = await history.gaps()
    assert (gaps.false_facts, gaps.false_counts) == ((), (make.START,))


@pytest.mark.asyncio
async def test_false_facts_are_found_in_every_slice(
    writer: PostgresHistoryWriter,
    history: History,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("history.reconcile._SLICE", 3)
    await writer.add_decisions([make.decision(n) for n in range(10)])
    ids = [make.frame_id(n) for n in range(11)]
    async with engine.begin() as link:
        await link.execute(
            text("DELETE FROM part_fact WHERE part_frame_id IN (:a, :b)").bindparams(
                a=ids[0], b=ids[2]
            )
        )
        await link.execute(
            text("UPDATE part_fact SET part_frame_id = :new WHERE part_frame_id = :old").bindparams(
                new=ids[10], old=ids[9]
            )
        )
    assert (await history.gaps()).false_facts == tuple(sorted({*ids[0:3:2], ids[9], ids[10]}))


@pytest.mark.asyncio
async def test_numbers_without_a_record_are_holes(
    writer: PostgresHistoryWriter, history: History
) -> None:
    """Part n has the trigger number n + 1; each run of each station counts for itself."""
    await writer.add_decisions([make.decision(n) for n in (0, 1, 5, 6)])
    await writer.add_acknowledgements([make.acknowledgement(make.decision(3))])
    other = [make.decision(n, line="line-2", plc_boot_id=n // 20) for n in (10, 11, 30)]
    wrapped = [
        make.decision(40 + n, line="line-3", trigger_seq=s, plc_boot_id=last)
        for last in (0xFFFF, 0xFFFFFFFF)
        for n, s in enumerate((last - 1, last, 1, 2), start=last.bit_length())
    ]
    far = [make.decision(50 + n, line="line-4", trigger_seq=s) for n, s in enumerate((1, 5000))]
    await writer.add_decisions([*other, *wrapped, *far])
    found = (await history.gaps()).holes
    assert [(h.line, h.plc_boot_id, h.first, h.last) for h in found] == [
        ("line-1", 7, 3, 3),
        ("line-1", 7, 5, 5),
        ("line-4", 7, 2, 4999),
    ]
    assert (await history.gaps("line-1")).holes == found[:2]
    assert not (await history.gaps("line-2")).holes


@pytest.mark.asyncio
async def test_an_acknowledgement_that_contradicts_is_found(
    writer: PostgresHistoryWriter, history: History
) -> None:
    events = [make.decision(n) for n in range(3)]
    assert events[1].action is not Action.SCRAP
    again = make.decision(7, trigger_seq=3)
    await writer.add_decisions([*events, again])
    odd = make.acknowledgement(events[1], action=Action.SCRAP)
    acks = [odd, *(make.acknowledgement(event) for event in (events[0], events[2], again))]
    await writer.add_acknowledgements(acks)
    gaps = await history.gaps("line-1")
    assert gaps.contradicted == (make.frame_id(1),)
    assert [(h.first, h.last) for h in gaps.twice_numbered] == [(3, 3)]
    assert not gaps.complete


@pytest.mark.asyncio
async def test_a_number_that_comes_again_behind_the_wrap_is_not_given_twice(
    writer: PostgresHistoryWriter, history: History
) -> None:
    """A counter of 16 bits in its second lap; number 2 has two parts in the first one."""
    numbers = (1, 2, 2, 65_000, 65_535, 1, 2, 65_534, 65_535)
    events = [make.decision(n, trigger_seq=s) for n, s in enumerate(numbers)]
    await writer.add_decisions(events)
    await writer.add_acknowledgements([make.acknowledgement(event) for event in events])
    assert [found.first for found in (await history.gaps()).twice_numbered] == [2]


@pytest.mark.asyncio
async def test_messages_that_retention_deleted_are_listed(
    writer: PostgresHistoryWriter, history: History
) -> None:
    lost = make.dead_letter(40, error_type=LOST_TO_RETENTION, topic="andon.decisions")
    await writer.add_dead_letters([(make.dead_letter(1), ""), (lost, "")])
    (found,) = (await history.gaps()).lost
    assert (found.topic, found.partition, found.first) == ("andon.decisions", 0, 40)
    assert not (await history.gaps()).complete
    assert (await history.gaps(since=make.captured(41))).complete
