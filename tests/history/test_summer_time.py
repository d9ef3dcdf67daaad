"""Days and shifts where the clock goes forward or back, by an hour and by half of one."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.bi import apply_bi
from history.filters import FrameFilter
from history.plant_times import PlantTimes
from history.queries import History
from history.rates import RatesBy, RatesEvery, RatesQuestion, read_rate_counts
from history.writer import PostgresHistoryWriter
from tests.history import make

CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),  # at midnight
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
]
BEGINNINGS = ["06:00", "00:00", "01:30", "01:45", "02:00", "02:15", "02:30", "03:00", ""]
"""Of the first of three shifts; none at all."""
_DAY = timedelta(days=1)


def plant(zone: str, first: str) -> PlantTimes:
    begins = datetime.strptime(first or "06:00", "%H:%M")  # noqa: DTZ007 - a time of the day
    at = [f"{begins + n * timedelta(hours=8):%H:%M}" for n in (0, 1, 2, 0)]
    shifts = {f"s{n}": {"start": at[n], "end": at[n + 1]} for n in range(3)}
    return PlantTimes.model_validate({"time_zone": zone, "shifts": shifts if first else {}})


def around(change: datetime, minutes: int = 5) -> list[datetime]:
    return [
        change + n * timedelta(minutes=minutes) for n in range(-1800 // minutes, 1800 // minutes)
    ]


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize("first", BEGINNINGS)
def test_every_moment_is_of_one_shift_which_begins_once_and_before_it(
    zone: str, change: datetime, first: str
) -> None:
    times, seen = plant(zone, first), list[tuple[str, datetime]]()
    for moment in around(change):
        name, begins = times.shift_at(moment)
        day = begins.astimezone(ZoneInfo(zone)).date()
        span = times.span(day, shift=name if first else "")
        assert span[0] == begins <= moment < span[1]
        if not seen or seen[-1] != (name, begins):
            seen.append((name, begins))
    assert seen == sorted(set(seen), key=lambda one: one[1]), "a shift that was over begins again"
    assert len(seen) >= (7 if first else 3)


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_spans_leave_nothing_out_and_count_nothing_twice(zone: str, change: datetime) -> None:
    for first in filter(None, BEGINNINGS):
        times, day = plant(zone, first), change.date() - 2 * _DAY
        days = [day + n * _DAY for n in range(5)]
        spans = [times.span(one, shift=shift) for one in days for shift in times.shifts]
        assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]


@pytest.mark.asyncio
@pytest.mark.parametrize(("zone", "change"), CHANGES)
async def test_what_is_counted_by_day_hour_and_shift_is_the_same_everywhere(
    url: str,
    writer: PostgresHistoryWriter,
    history: History,
    engine: AsyncEngine,
    zone: str,
    change: datetime,
) -> None:
    """The night shift goes over the change; its parts are those of the day on which it began."""
    times, moments = plant(zone, "06:00"), around(change, 15)
    await apply_bi(url, times)
    await writer.add_decisions([make.decision(n, captured_at=at) for n, at in enumerate(moments)])
    of_shift, of_day, of_hour = Counter[tuple[date, str]](), Counter[str](), Counter[datetime]()
    for at in moments:
        name, begins = times.shift_at(at)
        of_shift[begins.astimezone(ZoneInfo(zone)).date(), name] += 1
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        of_day[local.date().isoformat()] += 1
        of_hour[local.replace(minute=0)] += 1
    shifts = "SELECT production_day, shift, parts FROM bi.quality_by_shift"
    hours = "SELECT local_hour, parts FROM bi.quality_by_hour"
    async with engine.connect() as link:
        assert {(r[0], r[1]): r[2] for r in await link.execute(text(shifts))} == of_shift
        assert {r[0]: r[1] for r in await link.execute(text(hours))} == of_hour
    asked = RatesQuestion(FrameFilter(), RatesBy.SHIFT, RatesEvery.SHIFT, times)
    counts = await read_rate_counts(history, asked)
    assert {(s.day, s.shift): s.count.parts for s in counts.spans} == of_shift
    stats = await history.stats(time_zone=zone)
    assert {day.day: sum(day.by_action.values()) for day in stats.by_day} == of_day
    for day, shift in of_shift:
        since, until = times.span(day, shift=shift)
        listed = await history.list_frames(FrameFilter(since=since, until=until), limit=500)
        assert len(listed.frames) == of_shift[day, shift]
