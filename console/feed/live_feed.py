"""Follows Kafka and keeps the state of the lines; many browsers wait for its changes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol
from uuid import UUID

import structlog

from console.feed.line_state import LineState, ShiftAt
from console.feed.positions import Partition, write_positions
from streams.envelope import from_message
from streams.events import Acknowledgement, Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import ACKS, ALERTS, DECISIONS

log = structlog.get_logger(__name__)
TOPICS: Final = (DECISIONS.name, ACKS.name, ALERTS.name)


class RecordFeed(Protocol):
    """Records of Kafka as they come: ``streams.kafka.reader.PartitionReader``."""

    caught_up: asyncio.Event

    def follow(self) -> AsyncGenerator[list[Delivery], None]: ...


class LiveFeed:
    """The state of the lines as Kafka tells it.

    Args:
        reader: of ``TOPICS``, without a consumer group; it goes on over every outage.
        shift_at: tells the shifts apart.
    """

    def __init__(self, reader: RecordFeed, shift_at: ShiftAt) -> None:
        self.state = LineState(shift_at)
        self.acknowledged: dict[UUID, str] = {}
        """Alert -> who looks after it."""
        self._reader = reader
        self._positions: dict[Partition, int] = {}
        self._changed = asyncio.Condition()

    @property
    def is_fresh(self) -> bool:
        """Whether all that stood at the broker has been read, and it is heard from."""
        return self._reader.caught_up.is_set()

    @property
    def word(self) -> str:
        """How far it has been read, for ``Last-Event-ID``."""
        return write_positions(self._positions)

    @property
    def positions(self) -> dict[Partition, int]:
        """How far each partition has been read."""
        return dict(self._positions)

    async def run(self) -> None:
        """Follow for ever; cancel it."""
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    self._take(record)
                async with self._changed:
                    self._changed.notify_all()

    async def wait(self, after: int, timeout_s: float) -> None:
        """Return once there is a change after that one, or after some seconds."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self.state.changes > after)
        except TimeoutError:
            return

    async def nudge(self) -> None:
        """Have every browser told again what stands."""
        self.state.changes += 1
        self.state.alerts_changed = self.state.changes
        async with self._changed:
            self._changed.notify_all()

    def _take(self, record: Delivery) -> None:
        partition = record.topic, record.partition
        self._positions[partition] = record.offset + 1
        try:
            if record.topic == DECISIONS.name:
                event: Decision | Acknowledgement | Alert = from_message(
                    Decision, record.value, record.headers
                )
            elif record.topic == ACKS.name:
                event = from_message(Acknowledgement, record.value, record.headers)
            else:
                event = from_message(Alert, record.value, record.headers)
            self.state.take(event, (partition, record.offset))
        except Exception as error:  # noqa: BLE001 - nothing that a message contains ends the feed
            why = f"{type(error).__name__}: {error}"[:500]
            log.warning("console.unreadable", topic=record.topic, offset=record.offset, why=why)
