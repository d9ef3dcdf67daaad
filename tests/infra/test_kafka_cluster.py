"""Three brokers of Apache Kafka: what was acknowledged survives each of their kills."""

from pathlib import Path

import pytest

from infra.stack.kafka_cluster import start_kafka_cluster
from infra.stack.process import free_port
from streams.envelope import Message
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.topic_admin import ensure_topics
from streams.topics import DECISIONS, Wanted
from tests.infra.needs import need_kafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.asyncio
async def test_messages_survive_the_kill_of_each_broker(scratch: Path) -> None:
    need_kafka()
    sent = 0
    with start_kafka_cluster(scratch / "kafka", free_port()) as cluster:
        connection = KafkaConnection(cluster.bootstrap_servers, idempotent_producer=True)
        await ensure_topics(connection, Wanted(copies=3, in_sync=2), [DECISIONS])
        publisher = KafkaPublisher(connection)
        for _ in range(3):
            cluster.kill()
            for number in range(20):
                await publisher.send(DECISIONS.name, Message(b"k", str(number).encode(), ()))
                sent += 1
            cluster.revive()
        await publisher.stop()
        reader = PartitionReader(connection, {DECISIONS.name: BEGINNING})
        found = [record async for records in reader.read_to_end() for record in records]
    assert len(found) == sent == 60
