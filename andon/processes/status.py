"""Has a process say how it is on ``andon.status``, for as long as it runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from andon.settings import Settings
from andon.wiring import brokers
from streams.errors import AndonError
from streams.kafka.topic_check import check_topics
from streams.status import ProcessStatus
from streams.status_teller import StatusTeller
from streams.topics import STATUS

_TIMEOUT_S: Final = 2.0
"""What the broker does not take within it is dropped, seconds."""
_LOOK_S: Final = 5.0
"""Seconds until an absent topic is looked for again."""


@asynccontextmanager
async def telling(settings: Settings, look: Callable[[], ProcessStatus]) -> AsyncIterator[None]:
    """Say how the process is, by a connection of its own; it is told of the end, too.

    Args:
        settings: say how often, and where the brokers are.
        look: how it is now.
    """
    if not settings.status_every_s:
        yield
        return
    async with brokers.publisher(settings, _TIMEOUT_S) as publisher:
        teller = StatusTeller(publisher, look, settings.status_every_s)
        task = asyncio.create_task(_tell(settings, teller), name="status")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _tell(settings: Settings, teller: StatusTeller) -> None:
    """Wait for the topic first: a broker may make one that is not as it should be of a message."""
    connection, wanted = brokers.kafka_connection(settings), brokers.topics_wanted(settings)
    while True:
        with contextlib.suppress(AndonError):
            wrong = await check_topics(connection, wanted, [STATUS])
            if all(one.what != "topic" for one in wrong):
                break
        await asyncio.sleep(_LOOK_S)
    await teller.run()
