"""Waiting for a state, with a deadline."""

import asyncio
from collections.abc import Callable


async def until(state: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return once ``state()``; fail when that never comes."""
    async with asyncio.timeout(timeout_s):
        while not state():  # noqa: ASYNC110 - states have no events of their own
            await asyncio.sleep(0.001)
