"""The twin of ``streams.ports.DecisionFeed``: a queue."""

import asyncio
from collections.abc import AsyncGenerator

from streams.events import Alert, Decision


class InMemoryDecisionFeed:
    """``DecisionFeed`` of ``line``; ``tell`` is what arrives on Kafka, for any line."""

    def __init__(self, line: str = "line1") -> None:
        self._line = line
        self._told: asyncio.Queue[Decision | Alert] = asyncio.Queue()

    def tell(self, event: Decision | Alert) -> None:
        if event.line == self._line and (isinstance(event, Decision) or event.request_stop):
            self._told.put_nowait(event)

    async def __aiter__(self) -> AsyncGenerator[Decision | Alert, None]:
        while True:
            yield await self._told.get()
