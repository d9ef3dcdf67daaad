"""The record role: events to rows and objects, however long the stores are away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from streams.changeovers import ChangeoverStep
from streams.codes import ReasonCode
from streams.errors import EventError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Event,
    PartOnLine,
    Review,
    ShotVerdict,
)
from streams.failures import named
from streams.kafka.delivery import Delivery
from streams.ports import HistoryWriter, ImageStore
from streams.roles.collector import Collector
from streams.roles.metrics import RECORD_DELAY
from streams.roles.pictures import mask_png, original
from streams.roles.record_core import (
    RECORDED,
    StoredEvent,
    StoredObject,
    letter_object_key,
    recorded,
)
from streams.roles.results import Results
from streams.roles.salvage import attributes, readable_frame_id
from streams.topics import ACKS, ALERTS, ANOMALIES, CHANGEOVERS, DEAD, DECISIONS, REVIEWS, SHOTS
from streams.tracing.spans import PART

E = TypeVar("E", bound=Event)
Entry = tuple[Delivery, StoredEvent]
HISTORY, OBJECTS = "history", "objects"
"""The stores, as logs and metrics name them."""
BATCH = 200
"""Most events in one write."""
PARALLEL_PUTS = 8
"""Objects written at once."""


@dataclass(eq=False)
class RecordRole:
    """Stores every event once it has its objects; acknowledged only when all of it is kept."""

    history: HistoryWriter
    images: ImageStore
    results: Results
    batch_wait_s: float = 0.200
    """How long a write waits to fill."""

    def __post_init__(self) -> None:
        self._puts = asyncio.Semaphore(PARALLEL_PUTS)
        self._collectors: dict[str, Collector[Entry]] = {
            topic.name: Collector(self._write, BATCH, self.batch_wait_s) for topic in RECORDED
        }

    async def close(self) -> None:
        """Stop writing; what was not stored stays unacknowledged."""
        for collector in self._collectors.values():
            await collector.close()

    async def handle(self, delivery: Delivery) -> None:
        """One event: returns once it is stored, or refused for good and dead-lettered."""
        try:
            item = recorded(delivery)
        except EventError as error:
            frame_id = readable_frame_id(attributes(delivery.headers))
            reason = f"{type(error).__name__}: {error}"
            await self._dead(delivery, ReasonCode.MALFORMED_EVENT.name, reason, frame_id)
            return
        part = item.event.frame if isinstance(item.event, Anomaly) else item.event
        PART.set(part if isinstance(part, PartOnLine) else None)
        for stored in item.objects:
            is_kept = await self._kept(OBJECTS, partial(self._put, stored), delivery)
            if not is_kept and delivery.topic != DEAD.name:
                return  # a dead letter has its row even where its bytes cannot be kept
        await self._collectors[delivery.topic].add((delivery, item))

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Refused for good, or something unforeseen: a dead letter."""
        await self._dead(delivery, named(error), str(error), None)

    async def _put(self, item: StoredObject) -> None:
        async with self._puts:
            if item.body is not None:
                body = item.body
            elif item.region is not None:
                body = await asyncio.to_thread(mask_png, item.region)
            else:
                assert item.copy_of is not None
                try:
                    body = await original(item.copy_of, self.images)
                except KeyError:
                    missing = {"key": item.copy_of.dataref, "wanted_by": item.key}
                    self.results.telemetry.log("a picture is missing", **missing)
                    return
            await self.images.put(item.key, body, item.content_type)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """All of them in one write; when the store refuses it, each alone to find the culprit."""
        error = await self.results.attempt(HISTORY, partial(self._add, [i for _, i in entries]))
        if error is None:
            return
        self.results.telemetry.log("a write was refused", error=str(error), events=len(entries))
        await asyncio.gather(
            *(self._kept(HISTORY, partial(self._add, [item]), item_of) for item_of, item in entries)
        )

    async def _kept(
        self, what: str, store: Callable[[], Awaitable[None]], delivery: Delivery
    ) -> bool:
        """Store, for as long as the store is down; False when it refused and a letter was sent."""
        error = await self.results.attempt(what, store)
        if error is not None:
            await self.failed(delivery, error)
        return error is None

    async def _add(self, items: Sequence[StoredEvent]) -> None:
        events = [item.event for item in items]
        match items[0].topic:
            case ANOMALIES.name:
                await self.history.add_anomalies(_as(Anomaly, events))
            case DECISIONS.name:
                decisions = _as(Decision, events)
                await self.history.add_decisions(decisions)
                self._tell_delay(decisions, time.time())
            case SHOTS.name:
                await self.history.add_verdicts(_as(ShotVerdict, events))
            case ACKS.name:
                await self.history.add_acknowledgements(_as(Acknowledgement, events))
            case REVIEWS.name:
                await self.history.add_reviews(_as(Review, events))
            case ALERTS.name:
                await self.history.add_alerts(_as(Alert, events))
            case CHANGEOVERS.name:
                await self.history.add_changeovers(_as(ChangeoverStep, events))
            case DEAD.name:
                letters = _as(DeadLetter, events)
                await self.history.add_dead_letters([(x, letter_object_key(x)) for x in letters])

    def _tell_delay(self, decisions: Sequence[Decision], now_s: float) -> None:
        """The decisions have their rows since ``now_s``, by the clock of this host."""
        for one in decisions:
            decided_s = one.decided_at.timestamp() + one.clock_ahead_s  # by the host that decided
            delay_s = max(now_s - decided_s, 0.0)
            self.results.telemetry.observe(RECORD_DELAY, one.line, delay_s)

    async def _dead(
        self, delivery: Delivery, error_type: str, error: str, frame_id: UUID | None
    ) -> None:
        if delivery.topic == DEAD.name:
            self.results.telemetry.log(
                "a dead letter cannot be recorded", error=error, offset=delivery.offset
            )
            return
        await self.results.dead_letter(delivery, error_type, error, frame_id)


def _as(kind: type[E], events: Sequence[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]
