"""The partitions of a topic, for consumers that assign themselves by hand."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition


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
