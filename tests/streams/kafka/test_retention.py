"""What a group lost to its topics' retention is found before it goes on, and is one dead letter."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from infra.stack.broker import Broker
from infra.stack.kafka_local import start_kafka
from streams.codes import LOST_TO_RETENTION, Stage
from streams.envelope import Message, from_message
from streams.events import DeadLetter
from streams.kafka.connection import KafkaConnection
from streams.kafka.retention import LostSpan, find_lost
from streams.kafka.topic_admin import Wanted, ensure_topics
from streams.topics import ALERTS, DECISIONS
from tests.infra.needs import need_kafka

FIRST = TopicPartition(DECISIONS.name, 0)


def read(message: Message) -> DeadLetter:
    return from_message(DeadLetter, message.value, message.headers)


def silent(event: str, **_: object) -> None:
    raise AssertionError(event)


async def publish_and_read(connection: KafkaConnection, count: int, read: int) -> None:
    """So many messages, and the group has read the first of them."""
    await ensure_topics(connection, Wanted(partitions=1))
    producer, consumer = connection.producer(), connection.consumer("g")
    await producer.start()
    await consumer.start()
    for number in range(count):
        await producer.send_and_wait(DECISIONS.name, str(number).encode(), partition=0)
    consumer.assign([FIRST])
    await consumer.commit({FIRST: read})
    await producer.stop()
    await consumer.stop()


@pytest.mark.asyncio
async def test_a_group_that_can_go_on_lost_nothing(fresh_broker: Broker) -> None:
    connection = KafkaConnection(fresh_broker.bootstrap_servers)
    assert await find_lost(connection, "g", [DECISIONS, ALERTS], silent) == ()
    await publish_and_read(connection, 5, 3)
    assert await find_lost(connection, "g", [DECISIONS, ALERTS], silent) == ()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_what_was_deleted_unread_is_found(tmp_path: Path) -> None:
    need_kafka()
    with start_kafka(tmp_path / "kafka") as kafka:
        connection = KafkaConnection(kafka.bootstrap_servers)
        await publish_and_read(connection, 10, 3)
        admin = connection.admin()
        await admin.start()
        await admin.delete_records({FIRST: RecordsToDelete(before_offset=8)})
        await admin.close()
        found = await find_lost(connection, "g", [DECISIONS, ALERTS], silent)
        assert found == (LostSpan(DECISIONS.name, 0, 3, 7),)
        assert await find_lost(connection, "another", [DECISIONS], silent) == ()


def test_a_span_found_again_is_the_same_letter() -> None:
    span, now = LostSpan(DECISIONS.name, 2, 40, 99), datetime(2026, 11, 1, tzinfo=UTC)
    letters = [read(span.letter(Stage.RECORD, now)) for _ in range(2)]
    assert letters[0] == letters[1]
    letter = letters[0]
    assert (letter.error_type, letter.topic, letter.partition, letter.offset) == (
        LOST_TO_RETENTION,
        DECISIONS.name,
        2,
        40,
    )
    assert "60 messages, offsets 40 to 99," in letter.error


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_said() -> None:
    said: list[str] = []
    connection = KafkaConnection("127.0.0.1:1", request_timeout_s=1.0)
    assert await find_lost(connection, "g", [DECISIONS], lambda e, **_: said.append(e)) == ()
    assert said == ["nobody says whether messages were lost to retention"]
