"""Records of several partitions in the order of their times, and as roles receive them."""

from collections import deque
from collections.abc import AsyncGenerator, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.envelope import sent_s
from streams.kafka.delivery import Delivery

AT_ONCE = 64
"""Records per poll while following: a long log must not stop the caller's other tasks."""


async def in_order(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], timeout_s: float
) -> AsyncGenerator[list[ConsumerRecord], None]:
    """Records up to the ends at least, those of all partitions in the order of their times.

    A partition is fetched once nothing of it is held: whoever is far behind in one topic and not in
    another would else be given hours of the one before the first of the other.
    """
    held = {p: deque[ConsumerRecord]() for p in ends}
    while held:
        if bare := [p for p, records in held.items() if not records]:
            for p in bare:
                if await consumer.position(p) >= ends[p]:
                    del held[p]
            if not (left := [p for p in bare if p in held]):
                continue
            batches = await consumer.getmany(
                *left, timeout_ms=int(timeout_s * 1000), max_records=AT_ONCE
            )
            if not batches:
                raise TimeoutError(f"no record for {timeout_s:g} s before the end")
            for p, records in batches.items():
                held[p].extend(records)
            continue
        found: list[ConsumerRecord] = []
        while all(held.values()) and len(found) < AT_ONCE:
            source = min(held.values(), key=lambda records: records[0].timestamp)
            found.append(source.popleft())
        yield found


def place_of(record: ConsumerRecord) -> TopicPartition:
    """The partition that a record stands in."""
    return TopicPartition(record.topic, record.partition)


def deliveries_of(batches: Mapping[TopicPartition, list[ConsumerRecord]]) -> list[Delivery]:
    """The records of one poll."""
    return [delivery_of(record) for records in batches.values() for record in records]


def delivery_of(record: ConsumerRecord) -> Delivery:
    """A record as roles receive it."""
    return Delivery(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value or b"",
        headers=record.headers or (),
        produced_s=sent_s(record.timestamp / 1000, record.timestamp_type),
    )
