"""Schema ``bi``: local days and shifts, sums that agree, comments everywhere, a role that reads."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.bi import READER, apply_bi
from history.database import connected, make_engine
from history.errors import HistoryError, RefusedRowError
from history.plant_times import PlantTimes
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, Severity
from tests.history import make

BERLIN = PlantTimes.model_validate(
    {
        "time_zone": "Europe/Berlin",
        "shifts": {
            "early": {"start": "06:00", "end": "14:00"},
            "late": {"start": "14:00", "end": "22:15"},
            "night": {"start": "22:15", "end": "06:00"},
        },
    }
)


async def rows(engine: AsyncEngine, sql: str) -> list[Any]:
    async with engine.connect() as link:
        return list(await link.execute(text(sql)))


async def relations(engine: AsyncEngine) -> list[str]:
    found = await rows(
        engine, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'bi'"
    )
    return [row[0] for row in found]


@pytest.mark.asyncio
async def test_every_table_view_and_column_that_people_read_has_a_comment(
    url: str, engine: AsyncEngine
) -> None:
    for _ in range(2):
        await apply_bi(url, BERLIN)
    bare = await rows(
        engine,
        "SELECT c.oid::regclass::text, a.attname FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('bi', 'public') "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relkind IN ('r', 'v', 'p') AND NOT c.relispartition "
        "AND (obj_description(c.oid) IS NULL "
        "OR col_description(c.oid, a.attnum) IS NULL)",
    )
    assert bare == []
    assert len(await relations(engine)) == 11


@pytest.mark.asyncio
async def test_days_and_shifts_are_the_plants(
    url: str, writer: PostgresHistoryWriter, engine: AsyncEngine
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    cases = [
        (datetime(2026, 11, 2, 6, 0, tzinfo=zone), "early", date(2026, 11, 2)),
        (datetime(2026, 11, 2, 22, 14, 59, tzinfo=zone), "late", date(2026, 11, 2)),
        (datetime(2026, 11, 2, 22, 15, tzinfo=zone), "night", date(2026, 11, 2)),
        (datetime(2026, 11, 3, 5, 59, tzinfo=zone), "night", date(2026, 11, 2)),
        # The hour that comes twice when summer time ends.
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "night", date(2026, 10, 24)),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "night", date(2026, 10, 24)),
    ]
    await apply_bi(url, BERLIN)
    await writer.add_decisions(
        [make.decision(n, captured_at=at, station=f"s{n}") for n, (at, _, _) in enumerate(cases)]
    )
    found = await rows(
        engine, "SELECT station, shift, production_day FROM bi.quality_by_shift ORDER BY station"
    )
    assert found == [(f"s{n}", shift, day) for n, (_, shift, day) in enumerate(cases)]
    await apply_bi(url, PlantTimes(time_zone="Asia/Kathmandu"))
    found = await rows(
        engine, "SELECT local_hour, shift FROM bi.quality_by_hour, bi.quality_by_shift "
        "WHERE quality_by_hour.station = 's0' AND quality_by_shift.station = 's0'"
    )  # fmt: skip
    assert found == [(datetime(2026, 11, 2, 10), "")]  # noqa: DTZ001 - local time


@pytest.mark.asyncio
async def test_the_views_add_up(
    url: str, writer: PostgresHistoryWriter, engine: AsyncEngine
) -> None:
    await apply_bi(url, BERLIN)
    scrapped = [
        make.decision(n, DecisionSource.CLASSIFIER, Action.SCRAP, "crack" if n < 3 else "pit")
        for n in range(4)
    ]
    await writer.add_decisions([*scrapped, *(make.decision(n) for n in range(4, 10))])
    await writer.add_acknowledgements([make.acknowledgement(d) for d in scrapped])
    await writer.add_reviews(
        [
            make.review(0, severity=Severity.NORMAL),
            make.review(1),
            make.review(5, severity=Severity.DEFECT),
            make.review(6, severity=Severity.NORMAL),
        ]
    )
    for view in ("quality_by_hour", "quality_by_shift"):
        (found,) = await rows(
            engine, f"SELECT parts, passed, scrapped, held, pass_rate FROM bi.{view}"
        )
        assert found == (10, 6, 4, 0, 0.6)
    assert await rows(
        engine, "SELECT class_name, parts, share, cumulative_share FROM bi.defect_pareto"
    ) == [("crack", 3, 0.75, 0.75), ("pit", 1, 0.25, 1.0)]
    assert await rows(engine, "SELECT class_name, parts FROM bi.defects_by_day ORDER BY parts") == [
        ("pit", 1),
        ("crack", 3),
    ]
    assert await rows(
        engine, "SELECT source, outcome, parts FROM bi.answers_by_day ORDER BY parts"
    ) == [("classifier", "acknowledged", 4), ("expert", "none", 6)]
    assert await rows(
        engine,
        "SELECT sum(reviewed), sum(agreed), sum(escaped), sum(false_alarms) FROM bi.reviews_by_day",
    ) == [(4, 2, 1, 1)]
    (part,) = await rows(
        engine,
        "SELECT captured_local, local_day, outcome, review_severity FROM bi.part "
        "WHERE part_id = 'P0000001'",
    )
    local = (make.captured(1) + timedelta(hours=1)).replace(tzinfo=None)
    assert part == (local, local.date(), "acknowledged", "defect")


@pytest.mark.asyncio
async def test_the_reader_reads_the_views_and_nothing_else(
    url: str, writer: PostgresHistoryWriter, engine: AsyncEngine
) -> None:
    await writer.add_decisions([make.decision(1)])
    await apply_bi(url, BERLIN)
    async with engine.begin() as link:
        await link.execute(text("DROP ROLE IF EXISTS dashboard"))
        await link.execute(text(f"CREATE ROLE dashboard LOGIN IN ROLE {READER}"))
    guest = make_engine(url.replace("postgres@", "dashboard@"))
    for view in await relations(engine):
        async with guest.connect() as link:
            await link.execute(text(f"SELECT * FROM bi.{view}"))
    for forbidden in (
        "SELECT * FROM part_fact",
        "DELETE FROM bi.plant",
        "UPDATE bi.shift SET shift = ''",
        "CREATE VIEW bi.mine AS SELECT 1",
    ):
        with pytest.raises(RefusedRowError, match="InsufficientPrivilege"):
            async with connected(guest, 5.0, "trying") as link:
                await link.execute(text(forbidden))
    await guest.dispose()
    with pytest.raises(HistoryError, match="no name of a role"):
        await apply_bi(url, BERLIN, reader="x; DROP TABLE decision")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"time_zone": "Berlin"}, "Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "IANA"),
        ({"shifts": {"a": {"start": "06:10", "end": "14:00"}}}, "quarter of an hour"),
        (
            {
                "shifts": {
                    "day": {"start": "05:00", "end": "14:00"},
                    "night": {"start": "22:00", "end": "06:00"},
                }
            },
            "overlap",
        ),
    ],
)
def test_times_that_no_plant_keeps_are_refused(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        PlantTimes.model_validate(bad)
