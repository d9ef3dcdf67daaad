"""The record role: events to rows and objects, however long the stores are away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from streams.backoff import backoff_s
from streams.codes import ReasonCode, Stage
from streams.errors import EventError, UnavailableError
from streams.events import Acknowledgement, Alert, Anomaly, DeadLetter, Decision, Event, Review
from streams.kafka.delivery import Delivery, dead_letter
from streams.ports import HistoryWriter, ImageStore
from streams.roles.collector import Collector
from streams.roles.config import FlowConfig, RecordConfig
from streams.roles.masks import mask_png
from streams.roles.metrics import RoleMetrics
from streams.roles.outages import Outages
from streams.roles.outbox import Outbox
from streams.roles.record_core import RECORDED, Recorded, StoredObject, letter_key, recorded
from streams.roles.salvage import attributes, readable_frame_id
from streams.topics import ACKS, ALERTS, ANOMALIES, DEAD, DECISIONS, REVIEWS

E = TypeVar("E", bound=Event)
Entry = tuple[Delivery, Recorded]
HISTORY, OBJECTS = "history", "objects"
"""The stores, as logs and metrics name them."""


class RecordRole:
    """Stores every event once it has its objects; acknowledged only when all of it is kept."""

    def __init__(
        self,
        history: HistoryWriter,
        images: ImageStore,
        outbox: Outbox,
        metrics: RoleMetrics,
        flow: FlowConfig,
        record: RecordConfig,
        log: Callable[..., object],
    ) -> None:
        self._history = history
        self._images = images
        self._outbox = outbox
        self._metrics = metrics
        self._flow = flow
        self._record = record
        self._log = log
        self._outages = Outages(log)
        self._puts = asyncio.Semaphore(record.parallel_puts)
        self._collectors: dict[str, Collector[Entry]] = {
            topic.name: Collector(self._write, record.batch, record.batch_wait_s)
            for topic in RECORDED
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
        for stored in item.objects:
            if not await self._patiently(OBJECTS, partial(self._put, stored), delivery):
                return
        await self._collectors[delivery.topic].add((delivery, item))

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen: a dead letter."""
        await self._dead(delivery, type(error).__name__, str(error), None)

    async def _put(self, item: StoredObject) -> None:
        async with self._puts:
            if item.body is not None:
                body = item.body
            elif item.region is not None:
                body = await asyncio.to_thread(mask_png, item.region)
            else:
                try:
                    body = await self._images.get(item.copy_of or "")
                except KeyError:
                    self._log("a picture is missing", key=item.copy_of, wanted_by=item.key)
                    return
            await self._images.put(item.key, body, item.content_type)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """All of them in one write; when the store refuses it, one by one to find the culprit."""
        attempt = 0
        while True:
            try:
                await self._add([item for _, item in entries])
                self._outages.succeeded(HISTORY)
                return
            except UnavailableError as error:
                await self._pause(HISTORY, attempt, error)
                attempt += 1
            except Exception as error:  # noqa: BLE001 - one bad row must not block the others
                self._log("a write was refused", error=str(error), events=len(entries))
                break
        for delivery, item in entries:
            await self._patiently(HISTORY, partial(self._add, [item]), delivery)

    async def _patiently(
        self, what: str, store: Callable[[], Awaitable[None]], delivery: Delivery
    ) -> bool:
        """Store, for as long as the store is down; False when it refused and a letter was sent."""
        attempt = refused = 0
        while True:
            try:
                await store()
                self._outages.succeeded(what)
                return True
            except UnavailableError as error:
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - a store that is up and refuses
                failure, refused = error, refused + 1
            if refused >= self._record.rejected_after:
                await self.failed(delivery, failure)
                return False
            await self._pause(what, attempt, failure)
            attempt += 1

    async def _pause(self, what: str, attempt: int, error: Exception) -> None:
        self._metrics.retry(what)
        self._outages.failed(what, error)
        await asyncio.sleep(backoff_s(attempt, self._flow.retry_s, self._flow.retry_cap_s))

    async def _add(self, items: Sequence[Recorded]) -> None:
        events = [item.event for item in items]
        match items[0].topic:
            case ANOMALIES.name:
                await self._history.add_anomalies(_as(Anomaly, events))
            case DECISIONS.name:
                await self._history.add_decisions(_as(Decision, events))
            case ACKS.name:
                await self._history.add_acknowledgements(_as(Acknowledgement, events))
            case REVIEWS.name:
                await self._history.add_reviews(_as(Review, events))
            case ALERTS.name:
                await self._history.add_alerts(_as(Alert, events))
            case DEAD.name:
                letters = _as(DeadLetter, events)
                await self._history.add_dead_letters([(x, letter_key(x)) for x in letters])

    async def _dead(
        self, delivery: Delivery, error_type: str, error: str, frame_id: UUID | None
    ) -> None:
        if delivery.topic == DEAD.name:
            self._log("a dead letter cannot be recorded", error=error, offset=delivery.offset)
            return
        letter = dead_letter(delivery, Stage.RECORD, error_type, error, datetime.now(UTC), frame_id)
        await self._outbox.dead_letter(letter, error_type, error)


def _as(kind: type[E], events: Sequence[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]
