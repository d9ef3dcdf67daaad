"""Readers that must never be missing: one that dies is started again, and that is said; and so is
one that is behind."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from streams.backoff import backoff_s

log = structlog.get_logger(__name__)
BEHIND_S = 10.0
"""A follower that has not read all that stands at the broker for this long is behind, seconds."""
_LOOK_S = 0.5
"""How often a follower that is up to date is looked at, seconds."""
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


async def told_when_behind(
    name: str,
    caught_up: asyncio.Event,
    on_behind: Callable[[bool], None],
    behind_s: float = BEHIND_S,
) -> NoReturn:
    """Say when a follower that lives does not get what it follows. Runs until cancelled.

    Args:
        name: of what is followed, for the log.
        caught_up: set while the follower has read all that stands at the broker.
        on_behind: called with True when that was not so for ``behind_s`` seconds, and with False
            once it is again.
        behind_s: how long it may last unsaid.
    """
    while True:
        try:
            async with asyncio.timeout(behind_s):
                await caught_up.wait()
        except TimeoutError:
            log.error("follower.behind", follower=name, seconds=behind_s)
            on_behind(True)
            await caught_up.wait()
            log.info("follower.caught_up", follower=name)
            on_behind(False)
        while caught_up.is_set():  # noqa: ASYNC110 - an event says when it is set, not when it is not
            await asyncio.sleep(_LOOK_S)
