"""Rows of months that are over: dropped again after an interruption, twice at once, and beside
frames of a clock that was wrong.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import Deed
from history.migrate import upgrade, write_facts
from history.months import BY_MONTH, add_months, divide_tables
from history.queries import History
from history.retention import rows
from history.retention.rows import drop_months
from history.retention.rules import DataClass
from history.retention.store import RetentionStore
from history.writer import PostgresHistoryWriter
from streams.codes import Action
from streams.errors import UnavailableError
from streams.events import Decision
from tests.history import make
from tests.history.test_earlier_parts import EarlierWriter, downgraded
from tests.history.test_months import in_month, parts, value

UNTIL = datetime(2026, 2, 28, tzinfo=UTC)
DEED = Deed(actor="ada", action="history.retain", login="host", via="cli")


async def drop(url: str, until: datetime, is_trial: bool = False) -> list[str]:
    """The names of what was dropped."""
    found: list[str] = []
    await drop_months(url, until, lambda part: found.append(part.name), DEED, is_trial)
    return found


async def recorded(writer: PostgresHistoryWriter, url: str, *others: Decision) -> list[Decision]:
    """Two parts of January, one of February, all acknowledged; and others."""
    await add_months(url, 0, datetime(2026, 1, 1, tzinfo=UTC))
    decided = [
        make.decision(1, action=Action.SCRAP, **in_month(1, 1, 2026)),
        make.decision(2, **in_month(2, 1, 2026)),
        make.decision(3, **in_month(3, 2, 2026)),
        *others,
    ]
    await writer.add_decisions(decided)
    await writer.add_acknowledgements([make.acknowledgement(one) for one in decided])
    return decided


@pytest.mark.asyncio
async def test_months_that_are_over_are_dropped_and_their_counts_stay(
    url: str, engine: AsyncEngine, writer: PostgresHistoryWriter, history: History
) -> None:
    await add_months(url, 0, datetime(2026, 1, 1, tzinfo=UTC))
    border = datetime(2026, 2, 1, tzinfo=UTC)
    before = {**in_month(1, 1, 2026), "captured_at": border + timedelta(seconds=1)}
    decided = [
        make.decision(1, **before),
        make.decision(2, **in_month(2, 1, 2026)),
        make.decision(3, **{**in_month(3, 2, 2026), "captured_at": border}),
    ]
    await writer.add_decisions(decided)
    await writer.add_acknowledgements([make.acknowledgement(d) for d in decided])
    until = datetime(2026, 2, 28, tzinfo=UTC)
    trial = await drop(url, until, is_trial=True)
    assert len((await history.list_frames()).frames) == 3
    assert await drop(url, until) == trial
    assert sorted(trial) == sorted(f"{name}_2026_01" for name in BY_MONTH)
    assert [f.frame_id for f in (await history.list_frames()).frames] == [decided[2].frame_id]
    assert (await history.stats()).frames == 3
    assert (await history.gaps()).complete
    assert await drop(url, until) == []


@pytest.mark.asyncio
async def test_what_was_there_before_goes_when_all_of_it_is_over(
    url: str, engine: AsyncEngine
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    await old.add_decisions([make.decision(1)])
    await old.add_acknowledgements([make.acknowledgement(make.decision(1))])
    await upgrade(url)
    await divide_tables(url)
    await write_facts(url)
    now = datetime.now(UTC)
    assert await drop(url, now) == []
    over = await drop(url, now + timedelta(days=63))
    assert {"decision_before", "acknowledgement_before"} <= set(over)
    assert await value(engine, "SELECT count(*) FROM part_fact") == 0
    assert await value(engine, "SELECT sum(parts)::int FROM part_count") == 1
    await old.close()


@pytest.mark.asyncio
async def test_what_an_interrupted_run_left_undone_the_next_one_does(
    url: str, writer: PostgresHistoryWriter, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(writer, url)

    async def killed(*_: object) -> None:
        raise RuntimeError("ended")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "_forget", killed)
        with pytest.raises(RuntimeError, match="ended"):
            await drop(url, UNTIL)
    assert len((await history.gaps()).false_facts) == 2
    assert await drop(url, UNTIL) == [], "no month is left to drop"
    assert (await history.gaps()).complete


@pytest.mark.asyncio
async def test_two_runs_at_once_do_not_trip_over_each_other(
    url: str, writer: PostgresHistoryWriter, history: History
) -> None:
    await recorded(writer, url)
    await asyncio.gather(drop(url, UNTIL), drop(url, UNTIL))
    assert (await history.gaps()).complete
    assert len((await history.list_frames()).frames) == 1


@pytest.mark.asyncio
async def test_a_run_beside_a_backup_says_what_it_waits_for(
    url: str, engine: AsyncEngine, writer: PostgresHistoryWriter
) -> None:
    await recorded(writer, url)
    async with engine.begin() as backup:
        await backup.execute(text("LOCK TABLE decision IN ACCESS SHARE MODE"))
        with pytest.raises(UnavailableError, match=r"\(a backup\): run it again"):
            await drop_months(url, UNTIL, lambda _: None, DEED, timeout_s=0.1)
    await drop(url, UNTIL)


@pytest.mark.asyncio
async def test_parts_of_a_wrong_clock_stay_as_long_as_those_recorded_with_them(
    url: str, engine: AsyncEngine, writer: PostgresHistoryWriter, history: History
) -> None:
    odd = [make.decision(n, **in_month(n, 1, year)) for n, year in ((4, 1970), (5, 2099))]
    await recorded(writer, url, *odd)
    await drop(url, UNTIL)
    assert await parts(engine) == {"decision_2026_02": 1, "decision_other": 2}
    assert len((await history.list_frames()).frames) == 3
    gaps = await history.gaps()
    assert (gaps.undecided, gaps.false_facts, gaps.false_counts) == ((), (), ())
    later = datetime.now(UTC) + timedelta(days=31)
    trial = await drop(url, later, is_trial=True)
    assert "decision_other" in trial
    assert await drop(url, later) == trial
    assert await parts(engine) == {}
    assert (await history.list_frames()).frames == ()
    assert (await history.stats()).frames == 5, "counts stay"
    assert (await history.gaps()).complete
    with pytest.raises(Exception, match="only ever added"):
        async with engine.begin() as link:
            await link.execute(text("DELETE FROM decision_other"))


@pytest.mark.asyncio
async def test_pictures_of_reviewed_parts_stay_reviewed_when_their_rows_are_dropped(
    url: str, writer: PostgresHistoryWriter
) -> None:
    decided = await recorded(writer, url)
    shots = [make.verdict(1, shot, **in_month(n, 1, 2026)) for n, shot in ((6, 2), (7, 3))]
    whole = [s.model_copy(update={"part_frame_id": decided[0].frame_id}) for s in shots]
    await writer.add_verdicts(whole)
    await writer.add_reviews([make.review(1, frame_id=decided[0].frame_id)])
    store = RetentionStore(url)
    frames = [event.frame_id for event in (*decided, *whole)]
    before = {trace.frame_id: trace.kind for trace in await store.traces(frames)}
    await drop(url, UNTIL)
    after = {trace.frame_id: trace.kind for trace in await store.traces(frames)}
    await store.close()
    reviewed = {decided[0].frame_id, *(shot.frame_id for shot in whole)}
    for kinds in (before, after):
        assert {frame for frame, kind in kinds.items() if kind is DataClass.REVIEWED} == reviewed
