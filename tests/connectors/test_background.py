"""Work that the gateway's core begins and does not wait for, until its end."""

import asyncio

import pytest

from connectors.errors import SpoolFullError
from connectors.gateway.background import BackgroundTasks


@pytest.mark.asyncio
async def test_the_end_waits_for_what_runs_and_for_what_that_begins() -> None:
    tasks, done = BackgroundTasks(), []

    async def second() -> None:
        await asyncio.sleep(0.01)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0.01)
        done.append("first")
        tasks.start(second())

    tasks.start(first())
    await tasks.settle(10, lambda: False)
    assert done == ["first", "second"]


@pytest.mark.asyncio
async def test_what_is_awaited_may_still_begin_work() -> None:
    tasks, awaited, done = BackgroundTasks(), ["an acknowledgement"], []

    async def told() -> None:
        done.append("told")

    def acknowledged() -> None:
        awaited.clear()
        tasks.start(told())

    asyncio.get_running_loop().call_later(0.05, acknowledged)
    await tasks.settle(10, lambda: bool(awaited))
    assert done == ["told"]


@pytest.mark.asyncio
async def test_what_never_comes_is_given_up() -> None:
    tasks = BackgroundTasks()
    tasks.start(asyncio.sleep(3600))
    await tasks.settle(0.05, lambda: True)
    await tasks.cancel()  # the check for leaked tasks sees that it ended


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [SpoolFullError("no room"), ValueError("a fault")])
async def test_a_failure_stops_no_other(error: Exception) -> None:
    tasks, done = BackgroundTasks(), []

    async def failing() -> None:
        raise error

    async def working() -> None:
        done.append("work")

    tasks.start(failing())
    tasks.start(working())
    await tasks.settle(10, lambda: False)
    assert done == ["work"]
