"""Readers that must never be missing: one that dies is started again, and that is said."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from streams.backoff import backoff_s

log = structlog.get_logger(__name__)
STEADY_S = 1.0
"""A follower that has run for this long since its last death counts as alive again, seconds."""


async def kept_following(
    name: str, follow: Callable[[], Awaitable[None]], on_down: Callable[[bool], None]
) -> NoReturn:
    """Run ``follow``, which should never end, again and again. Runs until cancelled.

    Args:
        name: of what is followed, for the log.
        on_down: called with True when it died, and with False once it has run steadily again.
    """
    attempt = 0
    while True:
        running = asyncio.ensure_future(follow())
        try:
            await asyncio.wait([running], timeout=STEADY_S)
            if not running.done():
                on_down(False)
                attempt = 0
            await running
            why = "it ended by itself"
        except Exception as error:  # noqa: BLE001 - whatever it was, somebody must follow
            why = f"{type(error).__name__}: {error}"
        finally:
            running.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.wait([running])
        log.error("follower.died", follower=name, why=why)
        on_down(True)
        await asyncio.sleep(backoff_s(attempt, 0.1, 5.0, jitter=0.5))
        attempt += 1
