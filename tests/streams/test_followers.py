"""A follower that lives and does not get what it follows is said."""

import asyncio

import pytest

from streams.followers import told_when_behind
from tests.waiting import until


@pytest.mark.asyncio
async def test_a_follower_that_is_behind_is_said_once_and_when_it_has_caught_up() -> None:
    caught_up, told = asyncio.Event(), list[bool]()
    watching = asyncio.create_task(told_when_behind("decisions", caught_up, told.append, 0.05))
    await until(lambda: told == [True])
    caught_up.set()
    await until(lambda: told == [True, False])
    caught_up.clear()
    await until(lambda: told == [True, False, True])
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.asyncio
async def test_a_follower_that_catches_up_in_time_is_not_said() -> None:
    caught_up, told = asyncio.Event(), list[bool]()
    watching = asyncio.create_task(told_when_behind("decisions", caught_up, told.append, 60.0))
    await asyncio.sleep(0)
    caught_up.set()
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert told == []
