"""What Faust's settings cannot say.

Nine things of its Kafka transport, by subclassing at Faust's own extension points (no fork,
nothing patched):

* the wait of a fetch at the broker, which Faust fixes at 1,500 ms; longer where events take long;
* the idempotent producer without Faust's exactly-once mode;
* a gate before each message, so that a role which holds enough bytes stops fetching. Faust's own
  bound counts messages, and stalls a busy partition for up to a second when it is reached;
* partitions held back in the midst of a fetch: Faust drops what the fetch had brought of them;
* a start without the second that Faust sleeps in case tables are still being declared;
* committed offsets that may take longer than one request: Faust gives up for good after
  ``broker_request_timeout``, says nothing, and the worker stays in its group and reads nothing;
* committed offsets of all partitions in one request, not one after the other;
* logs that do not go on where they were read last: what retention took is said, and a log that
  counts from a lower offset is read from where it holds what is not done yet. Faust drops,
  without a word, whatever comes below the offset that it has;
* no search for partitions that stand still: it takes a partition on which nothing was sent for five
  minutes for one that is not fetched, and says so as an error, again and again.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
import structlog
from aiokafka.errors import KafkaError
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Producer,
    Transport,
)

from streams.kafka.continuity import Continuity, Skipped
from streams.kafka.fetch_pace import FetchPace
from streams.kafka.intake import Handled
from streams.kafka.offsets import committed_offsets
from streams.topics import MAX_FETCH_BYTES

log = structlog.get_logger(__name__)
Callback = Callable[[Any], Awaitable[None]]
Fetch = Callable[[float], Awaitable[tuple[Mapping[Any, Any] | None, set[Any] | None]]]
"""Waits so long for records; gives them, and the partitions whose records are handed out."""


class BoundedConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Builds the consumer with the transport's fetch wait and byte limits; paces its fetches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._continuity = Continuity()
        self._anew: set[Any] = set()
        """Partitions whose committed offset is of a log that is no more."""

    def _create_worker_consumer(self, transport: "BoundedTransport") -> aiokafka.AIOKafkaConsumer:
        self._pace = transport.pace
        consumer = super()._create_worker_consumer(transport)
        for name, value in (
            ("_fetch_max_wait_ms", transport.pace.wait_ms),
            ("_fetch_min_bytes", transport.fetch_min_bytes),
            ("_fetch_max_bytes", MAX_FETCH_BYTES),
        ):
            if not hasattr(consumer, name):
                raise AttributeError(f"aiokafka's consumer has no {name}: adapt {__name__}")
            setattr(consumer, name, value)
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        self._pace.apply(consumer)
        records = await super()._fetch_records(consumer, *args, **kwargs)
        skipped, anew = self._continuity.follow(records)
        for one in skipped:
            self.transport.skipped(one)
        for place in anew - self._anew:
            log.warning("kafka.log_lost", topic=place.topic, partition=place.partition)
        if anew:
            self._anew |= anew
            consumer._coordinator.request_rejoin()
            records = {place: batch for place, batch in records.items() if place not in anew}
        return records

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Go on where the group stopped, in every partition of ours; one request asks for all."""
        found: Mapping[Any, int | None] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> Mapping[Any, int | None]:
        consumer = self._ensure_consumer()
        offsets = await committed_offsets(consumer, consumer.assignment())
        if anew := self._anew & offsets.keys():
            await consumer.seek_to_beginning(*anew)
            offsets |= await self._begin_anew(consumer, anew)
        self._anew.clear()
        for partition, offset in offsets.items():
            if offset and consumer._subscription.is_assigned(partition):
                consumer.seek(partition, offset)
        self._continuity.begins(offsets)
        # Faust keeps the offset that it knows of where it is told none, and commits no lower one
        return offsets | {place: 0 for place in anew if offsets[place] is None}

    async def _begin_anew(self, consumer: Any, anew: set[Any]) -> dict[Any, int | None]:
        """Where logs that went back are read from; None: from their beginning.

        What was sent long before the last message that is done is done too, so a log that lost its
        end is not read again whole, which would keep the parts of now waiting.
        """
        since = {place: self.transport.handled.since_ms(place) for place in anew}
        begins: dict[Any, int | None] = dict.fromkeys(anew)
        if times := {place: ms for place, ms in since.items() if ms is not None}:
            try:
                ends = await consumer.end_offsets(list(times))  # asked first: what follows is new
                found = await consumer.offsets_for_times(times)
            except KafkaError as error:
                log.warning("kafka.log_lost_unknown", why=repr(error))
                return begins
            begins |= {p: ends[p] if at is None else at.offset for p, at in found.items()}
        for place, offset in begins.items():
            said = {"topic": place.topic, "partition": place.partition}
            log.warning("kafka.log_read_again", **said, offset=offset or 0)
        return begins

    def verify_event_path(self, now: float, tp: object) -> None:
        """A partition on which nothing is sent is no error; what is held is a metric of ours."""


class BoundedConsumer(Consumer):  # type: ignore[misc]
    """Waits at the transport's gate before it hands a message to its agent."""

    def __init__(
        self, transport: "BoundedTransport", callback: Callback, *args: Any, **kw: Any
    ) -> None:
        super().__init__(transport, transport.gated(callback), *args, **kw)
        fetch: Fetch = super()._wait_next_records
        self._wait_next_records = transport.handed_out(fetch)

    def _new_consumer_thread(self) -> BoundedConsumerThread:
        return BoundedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class TunedProducer(Producer):  # type: ignore[misc]
    """Idempotent where the broker supports it."""

    def _settings_extra(self) -> Mapping[str, Any]:
        extra = dict(super()._settings_extra())
        if self.transport.idempotent_producer:
            extra |= {"acks": "all", "enable_idempotence": True}
        return extra


class BoundedTransport(Transport):  # type: ignore[misc]
    """Faust's transport with a fetch wait, byte limits and a gate."""

    Consumer = BoundedConsumer
    Producer = TunedProducer

    pace = FetchPace(50)
    """How long a fetch may wait at the broker for ``fetch_min_bytes``; each app has its own."""
    fetch_min_bytes: int = 1
    idempotent_producer: bool = False
    gated: Callable[[Callback], Callback] = staticmethod(lambda callback: callback)
    """Puts a gate before the callback that takes each message; while that waits, nothing more is
    fetched."""
    handled = Handled()
    """What was done of each partition; each app has its own."""
    skipped: Callable[[Skipped], object] = staticmethod(lambda _: None)
    """Told of offsets that were not given, by the consumer's thread."""
    handed_out: Callable[[Fetch], Fetch] = staticmethod(lambda fetch: fetch)
    """Says of the records that were fetched which are handed out."""


class PatientRecovery(Recovery):  # type: ignore[misc]
    """Waits for the committed offsets until they come, a rebalance begins, or the app ends.

    Faust takes a wait that lasts longer than ``broker_request_timeout`` for the end of the app: the
    task that lets partitions flow after a rebalance is over then, for this rebalance and for all
    after it. The client asks again by itself, so that the wait ends when the broker answers.
    """

    async def _wait(self, coro: object, timeout: object = None) -> None:
        await super()._wait(coro)


class NoTables(TableManager):  # type: ignore[misc]
    """The table manager of an app that has no tables: starts at once."""

    _recovery: Recovery | None = None

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, tables=self, beacon=self.beacon)
        return self._recovery

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()
