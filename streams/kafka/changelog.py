"""Reading a compacted changelog to its end: what a role knew before it was given a partition."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.envelope import from_message
from streams.errors import EventError, UnavailableError
from streams.events import CountedPart
from streams.topics import COUNTED, MAX_FETCH_BYTES

_DOWN = (KafkaError, OSError, TimeoutError)


class Changelog(Protocol):
    """The parts that were counted, by partition."""

    async def read(self, partition: int) -> Iterable[CountedPart]:
        """What stands at the broker now, one part per slot. Raises ``UnavailableError``."""
        ...


class KafkaChangelog:
    """``Changelog`` over ``andon.counted``, with a consumer of its own and no group.

    Args:
        bootstrap_servers: comma-separated host:port.
        timeout_s: longest wait for one answer of the broker, and for the next records.
        log: told about records that cannot be read.
    """

    def __init__(
        self, bootstrap_servers: str, timeout_s: float, log: Callable[..., object]
    ) -> None:
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._log = log

    async def read(self, partition: int) -> Iterable[CountedPart]:
        """Raises ``UnavailableError`` when the broker does not answer in time."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await consumer.start()
            return await self._read(consumer, TopicPartition(COUNTED.name, partition))
        except _DOWN as error:
            raise UnavailableError(f"{COUNTED.name} at {self._servers}: {error!r}") from error
        finally:
            await _close(consumer, self._timeout_s)

    async def _read(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition
    ) -> Iterable[CountedPart]:
        consumer.assign([partition])
        async with asyncio.timeout(self._timeout_s):
            end = (await consumer.end_offsets([partition]))[partition]
            begin = (await consumer.beginning_offsets([partition]))[partition]
        consumer.seek(partition, begin)
        slots: dict[bytes, CountedPart] = {}
        wait_ms = int(self._timeout_s * 1000)
        while await consumer.position(partition) < end:
            batches: Mapping[Any, Any] = await consumer.getmany(partition, timeout_ms=wait_ms)
            if not batches:
                raise TimeoutError(f"no record for {self._timeout_s:g} s before the end")
            for record in batches[partition]:
                self._take(slots, record)
        return slots.values()

    def _take(self, slots: dict[bytes, CountedPart], record: Any) -> None:
        """The later part of a slot stands, even if a worker that was replaced wrote after it."""
        try:
            part = from_message(CountedPart, record.value, record.headers)
        except EventError as error:
            self._log("a counted part cannot be read", offset=record.offset, error=str(error))
            return
        known = slots.get(record.key)
        if known is None or known.number <= part.number:
            slots[record.key] = part


async def _close(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    with contextlib.suppress(*_DOWN):
        async with asyncio.timeout(timeout_s):
            await consumer.stop()
