"""Follows Kafka and keeps the state of the lines; many browsers wait for its changes."""

from contextlib import aclosing
from typing import Final
from uuid import UUID

import structlog

from console.feed.followed import FollowedFeed, RecordFeed
from console.feed.line_state import LineState, ShiftAt
from streams.envelope import from_message
from streams.events import Acknowledgement, Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import ACKS, ALERTS, DECISIONS

log = structlog.get_logger(__name__)
TOPICS: Final = (DECISIONS.name, ACKS.name, ALERTS.name)


class LiveFeed(FollowedFeed):
    """The state of the lines as Kafka tells it.

    Args:
        reader: of ``TOPICS``, without a consumer group; it goes on over every outage.
        shift_at: tells the shifts apart.
    """

    def __init__(self, reader: RecordFeed, shift_at: ShiftAt) -> None:
        super().__init__(reader)
        self.state = LineState(shift_at)
        self.acknowledged: dict[UUID, str] = {}
        """Alert -> who looks after it."""

    @property
    def changes(self) -> int:
        """Counts changes, so that a browser asks for what came after one."""
        return self.state.changes

    async def run(self) -> None:
        """Follow for ever; cancel it."""
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    self._take(record)
                await self._tell()

    async def nudge(self) -> None:
        """Have every browser told again what stands."""
        self.state.changes += 1
        self.state.alerts_changed = self.state.changes
        await self._tell()

    def _take(self, record: Delivery) -> None:
        self._read(record)
        try:
            if record.topic == DECISIONS.name:
                event: Decision | Acknowledgement | Alert = from_message(
                    Decision, record.value, record.headers
                )
            elif record.topic == ACKS.name:
                event = from_message(Acknowledgement, record.value, record.headers)
            else:
                event = from_message(Alert, record.value, record.headers)
            self.state.take(event, ((record.topic, record.partition), record.offset))
        except Exception as error:  # noqa: BLE001 - nothing that a message contains ends the feed
            why = f"{type(error).__name__}: {error}"[:500]
            log.warning("console.unreadable", topic=record.topic, offset=record.offset, why=why)
