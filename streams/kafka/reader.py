"""The one reader of hand-assigned partitions: no consumer group, nothing committed.

``read_to_end`` gives what stands at the broker now and ends; ``follow`` goes on for ever, over
every outage. Both give the records of one poll at a time, in order per partition. ``between`` reads
a piece of the logs again, in the order of the records' times.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.backoff import backoff_s
from streams.cancellation import asked_to_end
from streams.errors import UnavailableError
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.fetch_pace import FetchPace
from streams.kafka.in_order import AT_ONCE, deliveries_of, delivery_of, in_order, place_of
from streams.kafka.refusals import explained, is_refusal

log = structlog.get_logger(__name__)
BEGINNING, END = 0.0, math.inf
"""Where a topic is read from, beside a moment in seconds since the epoch."""
CHECK_S = 2.0
"""How often an idle reader looks for a log that was lost and for topics that appeared, seconds."""
RECOUNT_S = 10.0
"""How often a reader looks for partitions that were added, seconds."""
_POLL_MS = 1000
_REFUSED_ATTEMPT = 10
"""The back-off of a reader that is refused is as long as after so many attempts."""

_Batches = Mapping[TopicPartition, list[ConsumerRecord]]


class PartitionReader:
    """Reads every partition of some topics, or of a topic the one that a key's messages are in.

    Args:
        connection: to the broker.
        since_s: topic -> where to begin: ``BEGINNING``, ``END`` or a moment.
        last: topic -> so many of its latest records of each partition at least, whatever their
            times say: clocks of their senders and of this host may be off.
        resume: after an outage go on where the last consumer stood; False: begin again.
        keys: topic -> a key; of this topic only the partition is read into which clients of Kafka
            put messages with the key. Others share it, so that the reader still looks at the key.
        pace: of the fetches; None: they wait as long as the connection says.
        in_order: until it has caught up, give the records of all partitions in the order of their
            times. Who remembers a bounded number of things that several topics tell of needs it.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        since_s: Mapping[str, float],
        resume: bool = True,
        last: Mapping[str, int] | None = None,
        keys: Mapping[str, bytes] | None = None,
        in_order: bool = False,
        pace: FetchPace | None = None,
    ) -> None:
        self._connection = connection
        self._pace = pace
        self._since_s = dict(since_s)
        self._resume = resume
        self._last = dict(last or {})
        self._keys = dict(keys or {})
        self._in_order = in_order
        self.began: dict[tuple[str, int], int] = {}
        """Topic and number of each partition that is followed -> the offset that it began at."""
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._absent: list[str] = []
        self._whole: dict[TopicPartition, tuple[int, int]] = {}
        """End and position of logs that were found whole, though they end before the position."""
        self._checked = 0.0
        self._counts: Counter[str] = Counter()
        """Partitions of each topic that exists."""
        self._counted = 0.0
        self.caught_up = asyncio.Event()
        """Set while a consumer follows that has given all that stood at the broker when it was
        assigned. A topic that does not exist yet holds nothing, and is followed once it does."""

    async def read_to_end(
        self, partitions: Collection[int] | None = None
    ) -> AsyncIterator[list[Delivery]]:
        """What stands at the broker now, of all partitions or of those with these numbers.

        Raises:
            UnavailableError: no broker answers, a partition does not exist, or nothing came for
                the connection's ``request_timeout_s`` though there is more.
        """
        timeout_s = self._connection.request_timeout_s
        self._positions.clear()
        try:
            async with self._connection.consuming() as consumer:
                async with asyncio.timeout(timeout_s):
                    assigned = await self._assign(consumer, partitions)
                if partitions is not None and len(assigned) < len(partitions):
                    raise KafkaError(f"{sorted(self._since_s)}: not all of {partitions} exist")
                while left := await _short_of(consumer, self._ends):
                    batches = await consumer.getmany(*left, timeout_ms=int(timeout_s * 1000))
                    if not batches:
                        raise TimeoutError(f"no record for {timeout_s:g} s before the end")
                    yield deliveries_of(batches)
        except DOWN as error:
            where = f"{', '.join(self._since_s)} at {self._connection.bootstrap_servers}"
            said = await explained(error, self._connection)
            raise UnavailableError(f"{where}: {said}") from error

    async def follow(self) -> AsyncGenerator[list[Delivery], None]:
        """The records as they come; an empty list once ``caught_up`` is set. Never ends.

        Close it (``contextlib.aclosing``) or cancel its task.
        """
        attempt = 0
        while True:
            try:
                async with self._connection.consuming() as consumer:
                    async with asyncio.timeout(self._connection.request_timeout_s):
                        await self._assign(consumer)
                    attempt = 0
                    async with aclosing(self._polls(consumer)) as polls:
                        async for records in polls:
                            yield records
            except (*DOWN, asyncio.CancelledError) as error:
                if asked_to_end():
                    raise
                servers = self._connection.bootstrap_servers
                said = await explained(error, self._connection)
                log.warning("kafka.reader_down", servers=servers, why=said)
                if is_refusal(error):  # a person must mend it, and reads the log meanwhile
                    attempt = max(attempt, _REFUSED_ATTEMPT)
            finally:
                self.caught_up.clear()
            await asyncio.sleep(backoff_s(attempt, 0.1, 5.0, jitter=0.5))
            attempt += 1

    async def _polls(self, consumer: AIOKafkaConsumer) -> AsyncGenerator[list[Delivery], None]:
        """What one consumer reads, the backlog in the order of times if so wanted; never ends."""
        if self._in_order:
            timeout_s = self._connection.request_timeout_s
            async with aclosing(in_order(consumer, self._ends, timeout_s)) as polls:
                async for found in polls:
                    self._positions.update({place_of(r): r.offset + 1 for r in found})
                    yield [delivery_of(record) for record in found]
                    await asyncio.sleep(0)  # buffered records never let the loop go otherwise
        while True:
            if not self.caught_up.is_set() and not await _short_of(consumer, self._ends):
                self.caught_up.set()
                yield []
            if records := await self._next(consumer):
                yield records
            await asyncio.sleep(0)  # as above

    async def between(
        self, begins: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
    ) -> AsyncGenerator[list[Delivery], None]:
        """Records that were written before, in the order of their times, beside ``follow``.

        Args:
            begins: topic and partition -> the first offset; the beginning of a log for one that
                is not named. What the broker no longer keeps is left out: offsets tell.
            ends: the offset after the last one; other partitions are not read.

        Raises:
            UnavailableError: no broker answers, or nothing came for ``request_timeout_s``.
        """
        timeout_s = self._connection.request_timeout_s
        until = {TopicPartition(*p): end for p, end in ends.items() if begins.get(p, 0) < end}
        if not until:
            return
        try:
            async with self._connection.consuming() as consumer:
                consumer.assign(list(until))
                oldest = await consumer.beginning_offsets(list(until))
                for p, at in oldest.items():
                    consumer.seek(p, max(at, begins.get((p.topic, p.partition), 0)))
                async with aclosing(in_order(consumer, until, timeout_s)) as polls:
                    async for records in polls:
                        yield [delivery_of(r) for r in records if r.offset < until[place_of(r)]]
        except DOWN as error:
            where = f"{', '.join(self._since_s)} at {self._connection.bootstrap_servers}"
            said = await explained(error, self._connection)
            raise UnavailableError(f"{where}: {said}") from error

    async def _assign(
        self, consumer: AIOKafkaConsumer, numbers: Collection[int] | None = None
    ) -> list[TopicPartition]:
        """Every partition, at the last position or where its topic begins."""
        found = await partitions_of(consumer, self._since_s)
        partitions = [p for p in self._of_keys(found) if numbers is None or p.partition in numbers]
        self._absent = sorted(set(self._since_s) - {p.topic for p in found})
        self._counted = time.monotonic()
        consumer.assign(partitions)
        if not self._resume:
            self._positions.clear()
        self._ends = dict(await consumer.end_offsets(partitions)) if partitions else {}
        new = [p for p in partitions if p not in self._positions]
        begins = await self._begin(consumer, new)
        self._positions.update(begins)
        self.began.update({(p.topic, p.partition): at for p, at in begins.items()})
        for partition in partitions:
            consumer.seek(partition, self._positions[partition])
        return partitions

    def _of_keys(self, found: Collection[TopicPartition]) -> list[TopicPartition]:
        """Those of the partitions that hold what is read.

        A partition that was read before partitions were added may still get messages.
        """
        self._counts = counts = Counter(p.topic for p in found)
        return [
            p
            for p in found
            if p.topic not in self._keys
            or p in self._positions
            or p.partition == partition_of(self._keys[p.topic], counts[p.topic])
        ]

    async def _recount(self, consumer: AIOKafkaConsumer) -> None:
        """Read partitions that were added to a topic, from their beginning: all of it is new."""
        counts = Counter(p.topic for p in await partitions_of(consumer, self._counts))
        self._counted = time.monotonic()
        if more := {topic for topic, count in counts.items() if count > self._counts[topic]}:
            self._since_s |= dict.fromkeys(more, BEGINNING)
            await self._assign(consumer)

    async def _begin(
        self, consumer: AIOKafkaConsumer, new: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        since = {p: self._since_s[p.topic] for p in new}
        positions = {p: self._ends[p] for p in new}
        if oldest := [p for p in new if since[p] == BEGINNING]:
            positions |= await consumer.beginning_offsets(oldest)
        if times := {p: int(s * 1000) for p, s in since.items() if BEGINNING < s < END}:
            for partition, at in (await consumer.offsets_for_times(times)).items():
                # None where nothing is as new; the embedded broker says offset 0, timestamp -1.
                if at is not None and at.timestamp >= 0:
                    positions[partition] = min(at.offset, positions[partition])
        for partition, begin in positions.items():
            latest = self._ends[partition] - self._last.get(partition.topic, 0)
            positions[partition] = min(begin, max(latest, 0))
        return positions

    async def _next(self, consumer: AIOKafkaConsumer) -> list[Delivery]:
        if time.monotonic() - self._counted >= RECOUNT_S and self._counts:
            async with asyncio.timeout(self._connection.request_timeout_s):
                await self._recount(consumer)
        if not self._positions:
            await asyncio.sleep(CHECK_S)
            batches: _Batches = {}
        else:
            if self._pace is not None:
                self._pace.apply(consumer)
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=AT_ONCE)
        if not batches and time.monotonic() - self._checked >= CHECK_S:
            self._checked = time.monotonic()
            async with asyncio.timeout(self._connection.request_timeout_s):
                batches = await self._check(consumer)
        for partition, records in batches.items():
            self._positions[partition] = records[-1].offset + 1
        return deliveries_of(batches)

    async def _check(self, consumer: AIOKafkaConsumer) -> _Batches:
        """Look for topics that appeared, and for logs that were lost.

        A broker that lost its log ends before our position, and not every one reports that.

        Returns:
            Records that were found while looking.
        """
        if self._absent and await partitions_of(consumer, self._absent):
            self._since_s |= dict.fromkeys(self._absent, BEGINNING)  # all of it is new
            await self._assign(consumer)
        found: dict[TopicPartition, list[ConsumerRecord]] = {}
        ends = await consumer.end_offsets(list(self._positions)) if self._positions else {}
        for partition, end in ends.items():
            position = self._positions[partition]
            if end >= position or self._whole.get(partition) == (end, position):
                continue
            records = await _last_batch(consumer, partition, end)
            if end and not records:  # a slow broker proves nothing: look again later
                consumer.seek(partition, position)
            elif not records or records[-1].offset < position - 1:
                log.warning("kafka.log_lost", topic=partition.topic, partition=partition.partition)
                self._positions[partition] = 0
                self.began[partition.topic, partition.partition] = 0
                consumer.seek(partition, 0)
            else:
                self._whole[partition] = (end, position)
                if fresh := [record for record in records if record.offset >= position]:
                    found[partition] = fresh
        return found


def partition_of(key: bytes, partitions: int) -> int:
    """Into which of so many partitions clients of Kafka put messages with a key.

    >>> partition_of(b"L1/S1", 4)
    2
    """
    numbers = list(range(partitions))
    chosen: int = DefaultPartitioner()(key, numbers, numbers)
    return chosen


async def partitions_of(consumer: AIOKafkaConsumer, names: Iterable[str]) -> list[TopicPartition]:
    """Every partition of those topics that exist, in order; asks the broker.

    ``consumer.partitions_for_topic`` knows only topics that the consumer already follows, and
    ``consumer.topics`` throws away what it was told about the others. Apache Kafka describes
    those that are asked for and no more; the embedded broker describes all, always.

    Raises:
        KafkaError: no broker answered.
    """
    cluster = await consumer._client.fetch_all_metadata()
    return [
        TopicPartition(name, number)
        for name in names
        for number in sorted(cluster.partitions_for_topic(name) or ())
    ]


async def _short_of(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> list[TopicPartition]:
    return [p for p, end in ends.items() if await consumer.position(p) < end]


async def _last_batch(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end: int
) -> list[ConsumerRecord]:
    """The log's last batch: the embedded broker ends a log one past that batch's first."""
    if end == 0:
        return []
    consumer.seek(partition, end - 1)
    batches = await consumer.getmany(partition, timeout_ms=_POLL_MS)
    return list(batches.get(partition, ()))
