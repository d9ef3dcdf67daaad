"""A role's events in and out of Faust: one bounded task per event, acknowledged in order when it
is done, and the ``Publisher`` of what it leads to.

``stream.noack()``, and ``stream.ack(event)`` after the result is at the broker: a worker that is
killed in between causes duplicates, never a loss. Faust 0.15 commits past an event that is still
being worked on when its successor is acknowledged first (``Consumer._new_offset`` compares with
the committed offset off by one, and not at all before the first commit); killed then, the event is
lost. So an event is acknowledged to Faust only once every earlier event of its partition has been
(``docs/adr/0021-acknowledgement.md``).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from aiokafka.errors import BrokerResponseError, KafkaError

from streams.envelope import Message, sent_s
from streams.kafka.alone import renumber, send_alone
from streams.kafka.connection import drop_connections
from streams.kafka.delivery import Delivery
from streams.kafka.failures import is_of_its_batch, kafka_failure
from streams.log import Log

Item = TypeVar("Item")
AGAIN_MS: Final = 600_000
"""What was sent so long before the last message is read again: longer than one is under way, and
than a clock is set back."""
MOST_KEYS: Final = 1024


@dataclass
class _Partition(Generic[Item]):
    generation: int
    waiting: "OrderedDict[int, tuple[Item, bool]]" = field(default_factory=OrderedDict)


class InOrderAcks(Generic[Item]):
    """Tracks events by partition and offset; pure, not thread-safe.

    A partition's ``generation`` is the consumer group's: after a rebalance its events are
    delivered again, so those of an older generation are forgotten.
    """

    def __init__(self) -> None:
        self._partitions: dict[Hashable, _Partition[Item]] = {}

    def track(self, partition: Hashable, generation: int, offset: int, item: Item) -> None:
        """An event arrived."""
        found = self._partitions.get(partition)
        if found is None or found.generation != generation:
            found = self._partitions[partition] = _Partition(generation)
        found.waiting[offset] = (item, False)

    def done(self, partition: Hashable, generation: int, offset: int) -> list[Item]:
        """An event is finished; returns what may be acknowledged now, in offset order."""
        found = self._partitions.get(partition)
        if found is None or found.generation != generation or offset not in found.waiting:
            return []
        found.waiting[offset] = (found.waiting[offset][0], True)
        ready: list[Item] = []
        while found.waiting:
            first = next(iter(found.waiting))
            item, finished = found.waiting[first]
            if not finished:
                break
            del found.waiting[first]
            ready.append(item)
        return ready


class Handled:
    """Knows when the messages were sent that are done, each with all before it in its partition.

    >>> handled, place = Handled(), ("t", 0)
    >>> handled.note(place, b"line/station", 7_600.0)
    >>> handled.since_ms(place)
    7000000
    """

    def __init__(self) -> None:
        self._sent_s: dict[Hashable, dict[bytes | None, float]] = {}
        """When the last message of each key was sent, by its sender's clock."""

    def note(self, place: Hashable, key: bytes | None, sent_s: float | None) -> None:
        """A message is done; None: its sender does not say when it sent it."""
        sent = self._sent_s.setdefault(place, {})
        if len(sent) <= MOST_KEYS:
            sent[key] = sent_s or 0.0

    def since_ms(self, place: Hashable) -> int | None:
        """All that was sent before then is done, whichever log holds it now; None where nobody can
        say so. May be asked from another thread.

        Clocks of senders differ, so the key that was heard of the longest ago counts.
        """
        sent = list(self._sent_s.get(place, {}).values())
        if not 0 < len(sent) <= MOST_KEYS:
            return None
        return max(int(min(sent) * 1000) - AGAIN_MS, 0)


@dataclass
class _Held:
    """Events in flight, and their message bytes."""

    events: int = 0
    size: int = 0


class Handler(Protocol):
    """What is done with each event."""

    async def handle(self, delivery: Delivery) -> None:
        """Return once the event may be acknowledged."""
        ...

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """``handle`` raised ``error``: keep the bytes, then return."""
        ...


class Intake:
    """Holds the events in flight of one role, bounded in events and in bytes.

    The bound is a gate before the agent (``streams.kafka.faust_adapter``): an event that has
    arrived is never queued, so its fallback timer starts at once.

    Topics that stand apart hold back no others: their events pass the gate and have the same bounds
    once more for themselves. Reached, nothing more is fetched of these topics until there is room;
    what one fetch had brought before that still comes.

    Args:
        most_events: bound on the events held.
        most_bytes: bound on their message bytes.
        log: told about events that stay unacknowledged.
        on_event: told the topic of each event that arrives.
        apart: names of the topics that stand apart.
    """

    def __init__(
        self,
        most_events: int,
        most_bytes: int,
        log: Log,
        on_event: Callable[[str], None] = lambda _: None,
        apart: Collection[str] = (),
    ) -> None:
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._log = log
        self._on_event = on_event
        self._acks: InOrderAcks[tuple[Any, Any]] = InOrderAcks()
        self._tasks: set[asyncio.Task[None]] = set()
        self._apart = frozenset(apart)
        self._held = {False: _Held(), True: _Held()}
        """By whether a topic stands apart."""
        self.hold_back: Callable[[frozenset[str], bool], None] = lambda *_: None
        """Called with the topics that stand apart, and whether nothing more is to be fetched of
        them; again and again while that is so, for a rebalance forgets it."""
        self.took: Callable[[float], None] = lambda _: None
        """Told of each event that is done how long it was held, seconds."""
        self.handled = Handled()
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        self._is_held_back = False

    @property
    def in_flight(self) -> int:
        """Events held."""
        return len(self._tasks)

    @property
    def in_flight_bytes(self) -> int:
        """Their message bytes."""
        return sum(held.size for held in self._held.values())

    def gated(self, callback: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        """Each message waits here until there is room; for ever once the role is stopping."""

        async def wait(message: Any) -> None:
            if self._stopping or not self._stands_apart(message):
                await self._room.wait()
            await callback(message)

        return wait

    @staticmethod
    def handed_out(fetch: Callable[[float], Awaitable[Any]]) -> Callable[[float], Awaitable[Any]]:
        """Of what is fetched everything: also what came of a partition that was held back since."""

        async def wait(timeout: float) -> Any:
            records, active = await fetch(timeout)
            return records, active if active is None else {*active, *(records or ())}

        return wait

    def agent(self, opened: "asyncio.Future[Handler]") -> Callable[[Any], Awaitable[None]]:
        """A Faust agent that hands each event to the handler; events wait until it is open."""

        async def run(stream: Any) -> None:
            async for event in stream.noack().events():
                self._take(stream, event, opened)

        return run

    async def drain(self, timeout_s: float) -> int:
        """Take no more, wait for what is in flight; returns how many had to be left."""
        self._stopping = True
        self._room.clear()
        return await self.settle(timeout_s, cancel=True)

    async def settle(self, timeout_s: float, cancel: bool = False) -> int:
        """Wait for what is in flight, at most ``timeout_s``; returns how many were left."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(set(self._tasks), timeout=timeout_s)
        if cancel and left:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def _take(self, stream: Any, event: Any, opened: "asyncio.Future[Handler]") -> None:
        if self._stopping:
            return
        message = event.message
        delivery = Delivery(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key or b"",
            value=message.value or b"",
            headers=message.headers or (),
            produced_s=sent_s(message.timestamp, message.timestamp_type),
            generation=message.generation_id,
        )
        message.value = event.value = None  # the event may wait long for those before it
        self._on_event(message.topic)
        self._acks.track(message.tp, message.generation_id, message.offset, (stream, event))
        held = self._held[self._stands_apart(message)]
        held.events += 1
        held.size += len(delivery.value)
        task = asyncio.create_task(self._work(message, delivery, opened))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._update_room()

    async def _work(
        self, message: Any, delivery: Delivery, opened: "asyncio.Future[Handler]"
    ) -> None:
        """Nothing leaves as an exception: Faust restarts an agent that raises, and loses its
        event. What cannot even be kept as a dead letter stays unacknowledged."""
        began = time.monotonic()
        try:
            handler = opened.result() if opened.done() else await asyncio.shield(opened)
            try:
                await handler.handle(delivery)
            except Exception as error:  # noqa: BLE001 - the boundary of the role
                await handler.failed(delivery, error)
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - unacknowledged, it is delivered again
            self._log("unhandled", error=f"{type(error).__name__}: {error}", topic=delivery.topic)
            return
        finally:
            held = self._held[self._stands_apart(message)]
            held.events -= 1
            held.size -= len(delivery.value)
            asyncio.get_running_loop().call_soon(self._update_room)
        self.took(time.monotonic() - began)
        for stream, event in self._acks.done(message.tp, message.generation_id, message.offset):
            done = event.message
            self.handled.note(done.tp, done.key, sent_s(done.timestamp, done.timestamp_type))
            await stream.ack(event)

    def _stands_apart(self, message: Any) -> bool:
        return bool(self._apart) and message.topic in self._apart

    def _is_full(self, held: "_Held") -> bool:
        return held.events >= self._most_events or held.size >= self._most_bytes

    def _update_room(self) -> None:
        if self._stopping or self._is_full(self._held[False]):
            self._room.clear()
        else:
            self._room.set()
        if is_full := self._is_full(self._held[True]):
            self.hold_back(self._apart, True)
        elif self._is_held_back:
            self.hold_back(self._apart, False)
        self._is_held_back = is_full


class FaustPublisher:
    """The ``Publisher`` of a worker: sends with the producer that its Faust app has anyway.

    Args:
        app: whose producer sends.
        timeout_s: seconds that the smallest message may take.
        slowest_kib_s: the slowest good link, KiB/s: larger ones may take so much longer.
    """

    def __init__(self, app: Any, timeout_s: float, slowest_kib_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._bytes_s = slowest_kib_s * 1024

    async def send(self, topic: str, message: Message) -> None:
        """Returns once the broker has it.

        Raises:
            TransientError: not within the time for its size, or not now.
            PermanentError: the broker refuses this message.
        """
        try:
            async with asyncio.timeout(self._timeout_s + len(message.value) / self._bytes_s):
                await self._send(topic, message)
        except Exception as error:
            if isinstance(error, TimeoutError):  # stuck: the client goes on by another connection
                drop_connections(self._app.producer._ensure_producer())
            raise kafka_failure(_root(error), topic) from error

    async def _send(self, topic: str, message: Message) -> None:
        producer = self._app.producer
        try:
            result = await producer.send(
                topic, message.key, message.value, message.partition, None, list(message.headers)
            )
            await result
        except Exception as error:
            if isinstance(_root(error), BrokerResponseError):
                renumber(producer._ensure_producer())
            if not is_of_its_batch(_root(error)):
                raise
            await send_alone(producer._ensure_producer(), topic, message)


def _root(error: BaseException) -> BaseException:
    """Faust wraps what its client raised."""
    return error.__cause__ if isinstance(error.__cause__, KafkaError) else error
