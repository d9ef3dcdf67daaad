"""Golden parts: in no fact, no count and no queue; run or missing, right or wrong by shift."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.plant_times import PlantTimes, WorkShift
from history.policy_log import PolicyLog
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from streams.events import Decision, GoldenCheck
from tests.history import make

HASH = "g" * 64
GOLDEN = {"GOOD": {"action": ["pass"]}, "BAD": {"action": ["scrap"]}}


@pytest_asyncio.fixture(autouse=True)
async def policies(url: str) -> None:
    log = PolicyLog(url)
    await log.store_version(HASH, "tile", {"audit_share": 1.0, "golden": GOLDEN})
    await log.append_audit("tile", None, HASH, "Ada", "golden parts")
    await log.close()


def run_of(number: int, part: str, is_right: bool, **change: Any) -> Decision:
    actions = tuple(Action(word) for word in GOLDEN[part]["action"])
    check = GoldenCheck(actions=actions, is_right=is_right)
    return make.decision(number, part_id=part, golden=check, policy_hash=HASH, **change)


@pytest.mark.asyncio
async def test_a_golden_part_counts_nowhere_and_is_complete(
    writer: PostgresHistoryWriter, history: History, engine: AsyncEngine
) -> None:
    run = run_of(1, "GOOD", True)
    watchdog = make.decision(1, DecisionSource.WATCHDOG, Action.HOLD)  # by no policy
    await writer.add_decisions([run, make.decision(2), watchdog])
    await writer.add_anomalies([make.anomaly(1, "audit")])
    await writer.add_acknowledgements([make.acknowledgement(run)])
    stats = await history.stats()
    assert (stats.frames, stats.by_action) == (1, {"pass": 1})
    assert [f.part_id for f in (await history.list_frames()).frames] == ["P0000002"]
    assert (await history.audit_queue()).waiting == 0
    gaps = await history.gaps()
    assert (gaps.undecided, gaps.false_facts, gaps.false_counts) == ((), (), ())
    story = await history.show(make.frame_id(1))
    assert story.effective is None
    assert len(story.decisions) == 2
    async with engine.connect() as link:
        assert await link.scalar(text("SELECT sum(parts) FROM part_count")) == 1


@pytest.mark.asyncio
async def test_a_shift_says_which_golden_parts_are_missing_right_and_wrong(
    writer: PostgresHistoryWriter, history: History
) -> None:
    since, until = make.START, make.START + timedelta(hours=1)
    assert await history.golden_parts(since, until) == ()
    await writer.add_decisions([make.decision(1), make.decision(2, product_id="other")])
    found = await history.golden_parts(since, until)
    assert [(s.line, s.part_id, s.state) for s in found] == [
        ("line-1", "BAD", "missing"),
        ("line-1", "GOOD", "missing"),
    ]
    passed = run_of(3, "BAD", False)
    late = run_of(3, "BAD", True, source=DecisionSource.CLASSIFIER, action=Action.SCRAP)
    await writer.add_decisions([passed, late, run_of(4, "GOOD", True)])
    await writer.add_acknowledgements([make.acknowledgement(passed)])
    bad, good = await history.golden_parts(since, until)
    assert (bad.state, bad.wrong, bad.last and bad.last.action) == ("wrong", 1, "pass")
    assert (good.state, good.runs) == ("right", 1)
    await writer.add_decisions([run_of(5, "BAD", True, action=Action.SCRAP, class_name="crack")])
    bad, _ = await history.golden_parts(since, until, "line-1")
    assert (bad.state, bad.runs, bad.wrong) == ("right", 2, 1)
    assert await history.golden_parts(since, until, "line-2") == ()
    later = await history.golden_parts(until, until + timedelta(hours=1))
    assert later == ()


def test_a_shift_begins_in_the_plants_time_and_may_pass_midnight() -> None:
    shifts = {"early": WorkShift(start=time(6), end=time(14))}
    shifts["night"] = WorkShift(start=time(22), end=time(6))
    times = PlantTimes(time_zone="Europe/Berlin", shifts=shifts)

    def at(*clock: int) -> datetime:
        return datetime(2026, 11, *clock, tzinfo=UTC)

    assert times.shift_at(at(23, 5, 30)) == ("early", at(23, 5))
    assert times.shift_at(at(23, 22, 0)) == ("night", at(23, 21))
    assert times.shift_at(at(24, 4, 59)) == ("night", at(23, 21))
    assert times.shift_at(at(23, 15, 0)) == ("day", at(22, 23))
