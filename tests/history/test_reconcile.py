"""``andon history check``: what was never decided or written, and facts that are false."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import DecisionSource
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
