"""What the rates are reckoned from: by name as a filter on that name counts, and over time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import pytest_asyncio

from history.filters import FrameFilter
from history.local_time import DailySpan
from history.plant_times import PlantTimes, WorkShift
from history.policy_log import PolicyLog
from history.queries import History
from history.rates import (
    RateCount,
    RateCounts,
    RatesBy,
    RatesEvery,
    RatesQuestion,
    read_rate_counts,
)
from history.review_queue import ReviewQueue
from history.writer import PostgresHistoryWriter
from policies.review.escapes import escape_rate
from streams.codes import Action, DecisionSource, Severity
from streams.ids import audit_draw
from tests.history import make

pytestmark = pytest.mark.asyncio
HALF, FEW = "a" * 64, "b" * 64
SHIFTS = {
    "early": WorkShift(start=time(6), end=time(14)),
    "night": WorkShift(start=time(22), end=time(6)),
}
PLANT = PlantTimes(time_zone="Europe/Berlin", shifts=SHIFTS)
BEGIN = datetime(2026, 11, 2, 20, 0, tzinfo=UTC)
"""21 h in Berlin on a Monday: outside of all shifts."""


def at(number: int) -> datetime:
    """Three parts an hour."""
    return BEGIN + timedelta(minutes=20 * number)


def part(number: int) -> Any:
    """Every seventh is scrapped; two lines, lots of 20, a policy after the first thirty."""
    policy = HALF if number < 30 else FEW
    own = {
        "captured_at": at(number),
        "line": f"line-{number % 2}",
        "lot_id": f"L{number // 20}",
        "policy_hash": policy,
        "part_id": "twice" if number in (14, 25) else f"P{number:07}",
    }
    if number % 7:
        return make.decision(number, **own)
    name = "crack" if number % 14 else "pit"
    return make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, name, **own)


@pytest_asyncio.fixture
async def filled(url: str, writer: PostgresHistoryWriter) -> AsyncIterator[None]:
    """Eighty parts; of those drawn for audits one escaped; three rejects were reviewed."""
    log = PolicyLog(url)
    await log.store_version(HALF, "tile", {"audit_share": 0.5})
    await log.store_version(FEW, "tile", {"audit_share": 0.2})
    await log.close()
    await writer.add_decisions([part(number) for number in range(80)])
    drawn = [n for n in range(30) if n % 7 and audit_draw(make.frame_id(n)) < 0.5]
    said = [Severity.DEFECT, Severity.NORMAL, Severity.NEGLIGIBLE, Severity.UNKNOWN]
    audits = [
        make.review(n, is_blind=True, severity=severity)
        for n, severity in zip(drawn, said, strict=False)
    ]
    rejects = [
        make.review(number, severity=severity)
        for number, severity in (
            (7, Severity.NORMAL),
            (14, Severity.DEFECT),
            (49, Severity.UNKNOWN),
        )
    ]
    await writer.add_reviews(audits + rejects)
    yield


async def counts(history: History, by: RatesBy, every: RatesEvery, **wanted: Any) -> RateCounts:
    return await read_rate_counts(history, RatesQuestion(FrameFilter(**wanted), by, every, PLANT))


async def of_filter(history: History, wanted: FrameFilter) -> dict[str, object]:
    """The same figures from the questions that are older."""
    stats = await history.stats(wanted)
    rejects = await ReviewQueue(history).rejects(wanted)
    escapes = escape_rate(await history.audit_counts(wanted))
    return {
        "parts": stats.parts,
        "passed_first": round((stats.first_pass_yield or 0) * stats.parts),
        "stopped": rejects.stopped,
        "reviewed": rejects.reviewed,
        "false_alarms": rejects.false_alarms,
        "undecided": rejects.undecided,
        "not_audited": escapes.not_audited,
        "escapes": (escapes.passed, escapes.drawn, escapes.reviewed, escapes.escapes, escapes.low),
        "unsure": (escapes.undecided, escapes.without_picture),
    }


def figures(count: RateCount) -> dict[str, object]:
    escapes = escape_rate(count.audits)
    found: dict[str, object] = count.model_dump(exclude={"audits"})
    found["escapes"] = (
        escapes.passed,
        escapes.drawn,
        escapes.reviewed,
        escapes.escapes,
        escapes.low,
    )
    return found | {"unsure": (escapes.undecided, escapes.without_picture)}


FIELDS = {
    RatesBy.LINE: "line",
    RatesBy.LOT: "lot_id",
    RatesBy.CLASS: "class_name",
    RatesBy.VERSION: "expert_version",
    RatesBy.POLICY: "policy_hash",
    RatesBy.PRODUCT: "product",
    RatesBy.STATION: "station",
}


@pytest.mark.usefixtures("filled")
async def test_a_name_counts_what_a_filter_on_it_counts(history: History) -> None:
    expected = await of_filter(history, FrameFilter())
    assert expected["escapes"] != (0, 0, 0, 0, 0)
    for by in RatesBy:
        found = await counts(history, by, RatesEvery.DAY)
        assert figures(found.total) == expected, by
        for row in found.names:
            if by is RatesBy.SHIFT:
                wanted = FrameFilter(shift=PLANT.daily(row.name)) if row.name else None
            else:
                wanted = FrameFilter(**{FIELDS[by]: row.name})
            if wanted is not None:
                assert figures(row.count) == await of_filter(history, wanted), (by, row.name)
    lots = await counts(history, RatesBy.LOT, RatesEvery.DAY)
    assert [row.name for row in lots.names] == ["L3", "L2", "L1", "L0"]
    classes = await counts(history, RatesBy.CLASS, RatesEvery.DAY, line="line-1")
    assert [row.name for row in classes.names] == ["", "crack"]


@pytest.mark.usefixtures("filled")
async def test_a_trend_is_in_the_plant_s_days_shifts_and_weeks(history: History) -> None:
    days = await counts(history, RatesBy.LINE, RatesEvery.DAY)
    assert [(one.day, one.count.parts) for one in days.spans] == [
        (date(2026, 11, 2), 9),
        (date(2026, 11, 3), 70),
    ], "the second time of a serial is no part of its own"
    shifts = await counts(history, RatesBy.LINE, RatesEvery.SHIFT)
    assert [(one.day.day, one.shift, one.count.parts) for one in shifts.spans] == [
        (2, "night", 23),
        (2, "", 3),
        (3, "early", 24),
        (3, "night", 5),
        (3, "", 24),
    ]
    weeks = await counts(history, RatesBy.LINE, RatesEvery.WEEK)
    assert [(one.day, one.count.parts) for one in weeks.spans] == [(date(2026, 11, 2), 79)]
    for found in (days, shifts, weeks):
        assert sum(one.count.passed_first for one in found.spans) == found.total.passed_first
        assert sum(one.count.false_alarms for one in found.spans) == 1


@pytest.mark.usefixtures("filled")
async def test_a_shift_is_a_filter_of_lists_and_counts(history: History) -> None:
    night = FrameFilter(shift=PLANT.daily("night"))
    page = await history.list_frames(night, 100)
    hours = {one.captured_at.astimezone(UTC).hour for one in page.frames}
    assert hours == {21, 22, 23, 0, 1, 2, 3, 4}
    assert (await history.stats(night)).frames == len(page.frames)
    whole = replace(night, shift=DailySpan("UTC", time(6), time(6)))
    assert (await history.stats(whole)).frames == 80


async def test_the_spans_of_a_plant_s_calendar_are_moments() -> None:
    night = PLANT.span(date(2026, 11, 3), shift="night")
    assert night == (datetime(2026, 11, 3, 21, tzinfo=UTC), datetime(2026, 11, 4, 5, tzinfo=UTC))
    summer = PLANT.span(date(2026, 10, 25))
    assert summer[1] - summer[0] == timedelta(hours=25), "the clock goes back that day"
    week = PLANT.span(date(2026, 11, 2), 7)
    assert week[1] == datetime(2026, 11, 8, 23, tzinfo=UTC)
