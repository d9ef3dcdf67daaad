"""Waiting for a state, with a deadline."""

import asyncio
from collections.abc import Callable


async def until(state: Callable[[], bool], timeout_s: float = 10.0, what: str = "") -> None:
    """Return once ``state()``; fail, naming ``what``, when that does not come in time."""
    try:
        async with asyncio.timeout(timeout_s):
            while not state():  # noqa: ASYNC110 - states have no events of their own
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:g} s: {what or state}") from None
