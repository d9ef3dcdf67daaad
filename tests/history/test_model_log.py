"""The audit of the experts in force."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from history.errors import ChangingNowError
from history.model_log import ModelLog
from history.writer import PostgresHistoryWriter
from streams.codes import Action
from streams.inspections import ShadowScore
from tests.history import make


@pytest_asyncio.fixture
async def log(url: str) -> AsyncIterator[ModelLog]:
    made = ModelLog(url)
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_the_log_says_who_put_which_version_in_force(log: ModelLog) -> None:
    assert await log.changes("tile") == []
    first = await log.append("tile", (None, "one"), (None, None), "Ada", "first")
    await log.append("wood", (None, "oak"), (None, None), "Ada", "other")
    second = await log.append("tile", ("one", "two"), (None, "x"), "Bob", "a\x00b'; --")
    assert [c.product_id for c in await log.changes()] == ["tile", "wood", "tile"]
    assert await log.changes("tile") == [second, first]
    assert (second.from_expert, second.to_expert, second.to_exemplars) == ("one", "two", "x")
    assert second.reason == "a\N{REPLACEMENT CHARACTER}b'; --"
    assert first.applied_at.tzinfo is not None
    assert await log.changes("tile", limit=1) == [second]


@pytest.mark.asyncio
async def test_of_two_who_change_one_product_one_is_refused(log: ModelLog, url: str) -> None:
    other = ModelLog(url)
    async with log.changing("tile"):
        assert await log.append("tile", (None, "one"), (None, None), "Ada", "meanwhile")
        with pytest.raises(ChangingNowError, match="the models of 'tile'"):
            async with other.changing("tile"):
                pytest.fail("two at once")
    with pytest.raises(TimeoutError, match="the body's own"):  # and no failure of the database's
        async with other.changing("tile"):
            raise TimeoutError("the body's own")
    await other.close()


@pytest.mark.asyncio
async def test_what_a_shadow_said_is_counted_beside_the_version_in_force(
    log: ModelLog, writer: PostgresHistoryWriter
) -> None:
    parts = [
        make.decision(i, inspection=make.inspection(odd))
        for i, odd in enumerate((True, False, True))
    ]
    shadows = [
        ShadowScore(
            frame_id=part.frame_id, expert_version="new", score=1, threshold=1, anomalous=odd
        )
        for part, odd in zip(parts, (True, True, False), strict=True)
    ]
    teller = make.decision(9, inspection=make.inspection(shadows=(*shadows, shadows[0])))
    await writer.add_decisions([*parts, teller])
    (found,) = await log.shadows(datetime(2020, 1, 1, tzinfo=UTC))
    assert found.expert_version == "new"
    assert (found.frames, found.both, found.only_shadow, found.only_in_force) == (3, 1, 1, 1)
    assert await log.shadows(datetime(2020, 1, 1, tzinfo=UTC), "another") == []


@pytest.mark.asyncio
async def test_what_a_version_decided_is_counted_by_day(
    log: ModelLog, writer: PostgresHistoryWriter
) -> None:
    parts = [
        make.decision(i, inspection=make.inspection(odd), action=action)
        for i, (odd, action) in enumerate(
            ((False, Action.PASS), (True, Action.SCRAP), (False, Action.PASS))
        )
    ]
    await writer.add_decisions(parts)
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    (day,) = await log.days(parts[0].product_id, begin)
    assert (day.parts, day.stopped, day.day) == (3, 1, parts[0].captured_at.date())
    assert day.mean_p_value == pytest.approx(make.inspection(False).p_value)
    assert await log.days("another", begin) == []
    assert await log.days(parts[0].product_id, datetime(2100, 1, 1, tzinfo=UTC)) == []
