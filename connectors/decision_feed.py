"""The line's decisions, from Kafka."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.cancellation import asked_to_end
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Alert, Decision
from streams.kafka.connection import DOWN, stop_client
from streams.kafka.reader import partitions_of
from streams.topics import ALERTS, DECISIONS, MAX_FETCH_BYTES

log = structlog.get_logger(__name__)
_TRUNCATION_CHECK_S = 2.0
"""How often an idle feed asks whether the log still reaches its position, seconds."""
_AT_ONCE = 64
"""Decisions read between two looks at the line: a long log must not stop the heartbeat."""


class LineDecisionFeed:
    """``DecisionFeed``: the decisions of one line, from every partition, without a group.

    Assigned by hand: nothing to rebalance, nothing committed. After an outage a new consumer
    goes on where the last one stood.

    Args:
        line: only keys ``line/...`` are yielded.
        lookback_s: begin with the records of this many seconds before now, alerts too
            (0: a fresh start).
        on_alert: called with alerts of this line that ask for a stop.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        line: str,
        *,
        lookback_s: float = 0.0,
        timeout_s: float = 10.0,
        max_wait_ms: int = 50,
        on_alert: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        self._servers = bootstrap_servers
        self._line = line
        self._prefix = f"{line}/".encode()
        self._begin_ms = int((time.time() - lookback_s) * 1000)
        self._looks_back = lookback_s > 0
        self._timeout = timeout_s
        self._max_wait = max_wait_ms
        self._on_alert = on_alert
        self._positions: dict[TopicPartition, int] = {}
        self._whole: dict[TopicPartition, tuple[int, int]] = {}
        """End and position of logs that were found whole, though they end before the position."""
        self._checked = 0.0
        self.assigned = asyncio.Event()
        """Set while a consumer stands at its positions: decisions from now on are seen."""

    async def __aiter__(self) -> AsyncIterator[Decision]:
        delay = 0.1
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_bytes=MAX_FETCH_BYTES,
                max_partition_fetch_bytes=MAX_FETCH_BYTES,
                fetch_max_wait_ms=self._max_wait,
                request_timeout_ms=int(self._timeout * 1000),
                retry_backoff_ms=50,
            )
            try:
                await consumer.start()
                await self._assign(consumer)
                delay = 0.1
                while True:
                    for decision in await self._next(consumer):
                        yield decision
                    await asyncio.sleep(0)  # buffered records never let the loop go otherwise
            except (*DOWN, asyncio.CancelledError) as error:
                if asked_to_end():
                    raise
                log.warning("feed.down", servers=self._servers, why=repr(error))
            finally:
                self.assigned.clear()
                await stop_client(consumer, self._timeout)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 5.0)

    async def _next(self, consumer: AIOKafkaConsumer) -> list[Decision]:
        batches = await consumer.getmany(timeout_ms=1000, max_records=_AT_ONCE)
        if not batches:
            batches = await self._check_truncation(consumer)
        found: list[Decision] = []
        for partition, records in batches.items():
            for record in records:
                if partition.topic == ALERTS.name:
                    self._alert(record)
                elif (record.key or b"").startswith(self._prefix):
                    found += self._decision(record)
            self._positions[partition] = records[-1].offset + 1
        return found

    async def _check_truncation(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, Any]:
        """A broker that lost its log ends before our position; not every one reports that.

        Returns:
            Records that were found while looking.
        """
        if time.monotonic() - self._checked < _TRUNCATION_CHECK_S:
            return {}
        self._checked = time.monotonic()
        found: dict[TopicPartition, Any] = {}
        async with asyncio.timeout(self._timeout):
            ends = await consumer.end_offsets(list(self._positions))
            for partition, end in ends.items():
                position = self._positions[partition]
                if end >= position or self._whole.get(partition) == (end, position):
                    continue
                records = await self._read_last(consumer, partition, end)
                if end and not records:  # a slow broker proves nothing: look again later
                    consumer.seek(partition, position)
                    continue
                if not records or records[-1].offset < position - 1:
                    log.warning(
                        "feed.log_lost", topic=partition.topic, partition=partition.partition
                    )
                    self._positions[partition] = 0
                    consumer.seek(partition, 0)
                    continue
                self._whole[partition] = (end, position)
                fresh = [record for record in records if record.offset >= position]
                if fresh:
                    found[partition] = fresh
        return found

    async def _read_last(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, end: int
    ) -> list[Any]:
        """The log's last batch: the embedded broker ends a log one past that batch's first."""
        if end == 0:
            return []
        consumer.seek(partition, end - 1)
        batches = await consumer.getmany(partition, timeout_ms=1000)
        return list(batches.get(partition, []))

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """By hand: every partition, at the last position, the look-back, or the end."""
        async with asyncio.timeout(self._timeout):
            partitions = await partitions_of(consumer, (DECISIONS.name, ALERTS.name))
            if not any(p.topic == DECISIONS.name for p in partitions):
                raise KafkaError(f"topic {DECISIONS.name} does not exist yet")
            consumer.assign(partitions)
            new = [p for p in partitions if p not in self._positions]
            self._positions.update(await self._begin(consumer, new))
        for partition in partitions:
            consumer.seek(partition, self._positions[partition])
        self.assigned.set()

    async def _begin(
        self, consumer: AIOKafkaConsumer, new: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if not new:
            return {}
        positions: dict[TopicPartition, int] = await consumer.end_offsets(new)
        begin = {p: self._begin_ms for p in new if p.topic == DECISIONS.name or self._looks_back}
        for partition, found in (await consumer.offsets_for_times(begin)).items():
            # None where nothing is as new; the embedded broker says offset 0, timestamp -1.
            if found is not None and found.timestamp >= 0:
                positions[partition] = min(found.offset, positions[partition])
        return positions

    def _decision(self, record: Any) -> list[Decision]:
        try:
            return [from_message(Decision, record.value, record.headers)]
        except EventError as error:
            log.warning("feed.unreadable", offset=record.offset, why=str(error))
            return []

    def _alert(self, record: Any) -> None:
        try:
            alert = from_message(Alert, record.value, record.headers)
        except EventError as error:
            log.warning("feed.unreadable_alert", offset=record.offset, why=str(error))
            return
        if alert.line == self._line and alert.request_stop:
            self._on_alert(alert)
