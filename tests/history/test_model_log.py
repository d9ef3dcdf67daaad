"""The audit of the experts in force."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from history.model_log import ModelLog


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
