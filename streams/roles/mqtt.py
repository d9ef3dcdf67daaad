"""The mqtt role: decisions, acknowledgements and alerts to an MQTT broker, at least once.

An event is acknowledged at Kafka only after the broker has acknowledged its message, so a restart
of either repeats messages and loses none.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Acknowledgement, Alert, Decision
from streams.failures import named
from streams.kafka.delivery import Delivery
from streams.ports import Announcer
from streams.roles.mqtt_core import Announcement, announced_alert, announced_part
from streams.roles.results import Results
from streams.topics import ACKS, ALERTS, DECISIONS, Topic

ANNOUNCED: tuple[Topic, ...] = (DECISIONS, ACKS, ALERTS)
"""The topics that the role reads."""
TURNS = 256
"""So many stations, at most, are announced beside each other."""


@dataclass(frozen=True)
class MqttConfig:
    """Where in the topics' tree this plant is."""

    prefix: str = "andon"
    site: str = ""
    """Of alerts, which do not say it themselves."""
    area: str = ""


@dataclass(eq=False)
class MqttRole:
    """Handles an event to its end: published and acknowledged, or dead-lettered."""

    announcer: Announcer
    results: Results
    config: MqttConfig
    _turns: tuple[asyncio.Lock, ...] = field(
        default_factory=lambda: tuple(asyncio.Lock() for _ in range(TURNS)), init=False
    )

    async def close(self) -> None:
        """Nothing to give up: what is not acknowledged is delivered again."""

    async def handle(self, delivery: Delivery) -> None:
        """One event; returns once the broker has its message, however long it is away."""
        try:
            announcement = self._announcement(delivery)
        except EventError as error:
            await self.failed(delivery, error)
            return
        if announcement is None:
            return
        await self._in_turn(delivery, announcement)

    async def _in_turn(self, delivery: Delivery, one: Announcement) -> None:
        """The next message of a station waits until this one is acknowledged or set aside."""
        announce = partial(self.announcer.announce, one.topic, one.payload)
        async with self._turns[crc32(one.turn.encode()) % TURNS]:
            refusal = await self.results.attempt("mqtt", announce)
        if refusal is not None:
            await self.failed(delivery, refusal)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Refused for good, or something unforeseen: a dead letter."""
        await self.results.dead_letter(delivery, named(error), str(error))

    def _announcement(self, delivery: Delivery) -> Announcement | None:
        prefix, value, headers = self.config.prefix, delivery.value, delivery.headers
        if delivery.topic == ALERTS.name:
            alert = from_message(Alert, value, headers)
            return announced_alert(prefix, alert, self.config.site, self.config.area)
        if delivery.topic == ACKS.name:
            return announced_part(prefix, from_message(Acknowledgement, value, headers))
        return announced_part(prefix, from_message(Decision, value, headers))
