"""Tables by month: one identity stays one row, whichever part it is in, and months come and go."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history import months
from history.errors import HistoryError
from history.migrate import upgrade
from history.months import add_months, divide_tables
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import DecisionSource
from streams.ids import minted_at
from tests.history import make
from tests.history.test_earlier_parts import EarlierWriter, downgraded


async def value(engine: AsyncEngine, question: str) -> object:
    async with engine.connect() as link:
        return await link.scalar(text(question))


async def parts(engine: AsyncEngine, table: str = "decision") -> dict[str, int]:
    """The parts of a table that hold something, with their rows."""
    query = f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1 ORDER BY 1"
    async with engine.connect() as link:
        return {str(name): int(count) for name, count in await link.execute(text(query))}


def in_month(number: int, month: int, year: int = 2031) -> dict[str, object]:
    """The frame and the time of a part that was photographed in a month."""
    at = datetime(year, month, 3, tzinfo=UTC)
    frame = UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | number)
    return {"frame_id": frame, "captured_at": at}


@pytest.mark.asyncio
async def test_an_event_of_a_month_without_a_part_is_moved_when_it_has_one(
    url: str, engine: AsyncEngine, writer: PostgresHistoryWriter
) -> None:
    early = make.decision(1, **in_month(1, 2))
    foreign = make.decision(2, frame_id=UUID(int=(1 << 127) | (4 << 76) | (2 << 62)))
    for _ in range(2):
        await writer.add_decisions([early, foreign])
    assert await parts(engine) == {"decision_other": 2}
    made = await add_months(url, 0, datetime(2031, 2, 1, tzinfo=UTC))
    assert made == 0, "the months from a later one to this one are none"
    ahead = (2031 - datetime.now(UTC).year) * 12 + 12
    await add_months(url, ahead)
    assert await add_months(url, ahead) == 0
    await writer.add_decisions([early, foreign])
    assert await parts(engine) == {"decision_2031_02": 1, "decision_other": 1}


@pytest.mark.asyncio
async def test_tables_with_events_become_the_first_part_and_keep_one_identity(
    url: str, engine: AsyncEngine
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    decided = [make.decision(n) for n in range(20)]
    told = [make.acknowledgement(d) for d in decided]
    await old.add_decisions(decided)
    await old.add_acknowledgements(told)
    await upgrade(url)
    await asyncio.gather(divide_tables(url), divide_tables(url))
    await old.add_decisions(decided)
    later = make.decision(5, source=DecisionSource.CLASSIFIER, is_late=True)
    after = make.decision(99, **in_month(99, 1))
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions([*decided, later, after])
    await writer.add_acknowledgements(told)
    assert await parts(engine) == {"decision_before": 21, "decision_other": 1}
    assert await parts(engine, "acknowledgement") == {"acknowledgement_before": 20}
    found = await value(engine, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%edge'")
    assert found == 0
    history = History(url)
    assert writer._beside
    await writer._beside[0]
    assert (await history.stats()).frames == 21
    gaps = await history.gaps()
    assert (gaps.false_facts, gaps.false_counts, gaps.decided_twice) == ((), (), ())
    await history.close()
    await writer.close()
    await old.close()


@pytest.mark.asyncio
async def test_nothing_that_comes_is_refused_for_a_division_that_ended_half_way(
    url: str, engine: AsyncEngine
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    await old.add_decisions([make.decision(1)])
    await upgrade(url)
    past = "ALTER TABLE decision ADD CONSTRAINT decision_before_edge CHECK (frame_id < '{}') {}"
    async with engine.begin() as link:
        frame = make.frame_id(3)
        await link.execute(text(past.format(frame, "NOT VALID")))
    await add_months(url)
    await old.add_decisions([make.decision(5)])
    assert await divide_tables(url) == ["decision"]
    await old.close()


@pytest.mark.asyncio
async def test_frames_that_tell_no_time_leave_a_table_as_it_is(
    url: str, engine: AsyncEngine
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    await old.add_decisions([make.decision(1, frame_id=UUID(int=(1 << 127) | 7))])
    await upgrade(url)
    with pytest.raises(HistoryError, match="stays in one piece"):
        await divide_tables(url)
    await old.add_decisions([make.decision(2)])
    await old.close()


@pytest.mark.asyncio
async def test_a_division_that_fails_takes_its_constraint_away(
    url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    await old.add_decisions([make.decision(1)])
    await upgrade(url)

    def fail(*_: object) -> None:
        raise RuntimeError("ended")

    monkeypatch.setattr(months, "_remake", fail)
    with pytest.raises(RuntimeError, match="ended"):
        await divide_tables(url)
    found = await value(engine, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%edge'")
    assert found == 0
    await old.close()


@pytest.mark.asyncio
async def test_a_months_first_frame_is_the_least_that_can_be_minted_in_it(
    engine: AsyncEngine,
) -> None:
    first = await value(engine, "SELECT first_frame_at('2026-12-01T00:00:00Z')")
    assert minted_at(UUID(str(first))) == datetime(2026, 12, 1, tzinfo=UTC)
    before = await value(engine, "SELECT first_frame_at('2026-11-30T23:59:59.999Z')")
    assert minted_at(UUID(str(before))) == datetime(2026, 12, 1, tzinfo=UTC) - timedelta(
        milliseconds=1
    )
