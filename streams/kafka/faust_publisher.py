"""The ``Publisher`` port over a Faust app's producer."""

import asyncio
from typing import Any

from streams.envelope import Message
from streams.errors import UnavailableError


class FaustPublisher:
    """Sends with the app's own producer; returns once the broker has acknowledged the record."""

    def __init__(self, app: Any, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def send(self, topic: str, message: Message) -> None:
        """Raises ``UnavailableError`` when the broker does not take it within the timeout."""
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._app.producer.send(
                    topic,
                    message.key,
                    message.value,
                    message.partition,
                    None,
                    list(message.headers),
                )
                await result
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"{topic}: {reason}") from error
