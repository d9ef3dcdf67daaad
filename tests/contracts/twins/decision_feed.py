"""The twin of ``streams.ports.DecisionFeed``: a queue."""

import asyncio
from collections.abc import AsyncGenerator

from streams.changeovers import ChangeoverStep
from streams.events import Alert, Decision


class InMemoryDecisionFeed:
    """``DecisionFeed`` of ``line``; ``tell`` is what arrives on Kafka, for any line."""

    def __init__(self, line: str = "line1") -> None:
        self._line = line
        self._told: asyncio.Queue[Decision | Alert | ChangeoverStep] = asyncio.Queue()

    def tell(self, event: Decision | Alert | ChangeoverStep) -> None:
        if event.line == self._line and (not isinstance(event, Alert) or event.request_stop):
            self._told.put_nowait(event)

    async def __aiter__(self) -> AsyncGenerator[Decision | Alert | ChangeoverStep, None]:
        while True:
            yield await self._told.get()
