"""The composition root: one typed function builds each adapter of the line.

Processes, commands, checks, Serve's application and the laboratory get their adapters here and
hand them to code that knows only the ports: from ``brokers`` what speaks to Kafka and MQTT, from
``storage`` PostgreSQL and the object store, from ``ray_serve`` expert and classifier, from ``edge``
what a gateway is made of. The imports stand inside the functions, so that a process loads no
library that its own adapters do not need.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from andon.settings import Settings


class Closable(Protocol):
    """An adapter that holds connections."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


@asynccontextmanager
async def opened(build: Callable[[Settings], C], settings: Settings) -> AsyncIterator[C]:
    """An adapter for as long as the context lasts; a failure to close it is not the caller's.

    It is built in a thread: importing its library takes seconds, and a worker joins its consumer
    group meanwhile.
    """
    adapter = await asyncio.to_thread(build, settings)
    try:
        yield adapter
    finally:
        with contextlib.suppress(Exception):
            await adapter.close()
