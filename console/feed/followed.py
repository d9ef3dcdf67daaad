"""What the feeds have in common: how far Kafka has been read, and who waits for a change."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from console.feed.positions import Partition, Positions, write_positions
from streams.kafka.delivery import Delivery


class RecordFeed(Protocol):
    """Records of Kafka as they come: ``streams.kafka.reader.PartitionReader``."""

    caught_up: asyncio.Event

    @property
    def began(self) -> Mapping[Partition, int]: ...

    def follow(self) -> AsyncGenerator[list[Delivery], None]: ...

    def between(
        self, begins: Positions, ends: Positions
    ) -> AsyncGenerator[list[Delivery], None]: ...


class FollowedFeed(ABC):
    """A state that follows topics without a consumer group; many browsers wait for its changes.

    Args:
        reader: of the topics; it goes on over every outage.
    """

    def __init__(self, reader: RecordFeed) -> None:
        self._reader = reader
        self._positions: dict[Partition, int] = {}
        self._changed = asyncio.Condition()

    @property
    @abstractmethod
    def changes(self) -> int:
        """Counts changes, so that a browser asks for what came after one."""

    @abstractmethod
    async def run(self) -> None:
        """Follow for ever; cancel it."""

    @property
    def is_fresh(self) -> bool:
        """Whether all that stood at the broker has been read, and it is heard from."""
        return self._reader.caught_up.is_set()

    @property
    def word(self) -> str:
        """How far it has been read, for ``Last-Event-ID``."""
        return write_positions(self.positions)

    @property
    def positions(self) -> dict[Partition, int]:
        """How far each partition has been read; where it began, before anything came of it."""
        return {**self._reader.began, **self._positions}

    async def wait(self, after: float, timeout_s: float) -> None:
        """Return once there is a change after that one, it has caught up, or after some seconds."""
        was_fresh = self.is_fresh
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(
                    lambda: self.changes > after or (self.is_fresh and not was_fresh)
                )
        except TimeoutError:
            return

    def _read(self, record: Delivery) -> None:
        self._positions[record.topic, record.partition] = record.offset + 1

    async def _tell(self) -> None:
        """Whoever waits looks again."""
        async with self._changed:
            self._changed.notify_all()
