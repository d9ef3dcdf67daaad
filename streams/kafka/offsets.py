"""How far a consumer group has read."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition


async def committed_offsets(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int | None]:
    """Where the consumer's group stopped in each partition; None where it never committed.

    One request asks for all, where aiokafka's public ``committed`` asks for one after the other.
    """
    stored = await consumer._coordinator.fetch_committed_offsets(partitions)
    return {one: stored[one].offset if one in stored else None for one in partitions}
