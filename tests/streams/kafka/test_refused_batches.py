"""A batch that the broker refuses costs the one record that is meant, with and without numbers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka import errors as kafka
from aiokafka.admin import NewTopic

from infra.stack.broker import Broker
from infra.stack.kafka_local import start_kafka
from streams.envelope import Message
from streams.failures import Cause, PermanentError
from streams.kafka.alone import renumber
from streams.kafka.connection import KafkaConnection
from streams.kafka.failures import is_of_its_batch, kafka_cause
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.ports import Publisher
from streams.topics import FRAMES, Wanted
from tests.infra.needs import need_kafka
from tests.streams.kafka.test_continuity import worker

COMPACTED, NARROW = "compacted", "narrow"


def test_the_number_of_a_refused_record_is_known() -> None:
    """What aiokafka does not know it calls unknown, and that was waited for as an outage."""
    assert kafka_cause(kafka.for_code(87)()) is Cause.INVALID
    assert is_of_its_batch(kafka.for_code(87)())
    assert is_of_its_batch(kafka.UnknownError())
    assert kafka_cause(kafka.UnknownError()) is Cause.AWAY
    assert not is_of_its_batch(kafka.TopicAuthorizationFailedError())


@pytest.mark.asyncio
async def test_a_refused_batch_ends_the_numbers_of_its_producer() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", enable_idempotence=True)
    numbers = producer._txn_manager
    for identity in (7, 8):
        numbers.set_pid_and_epoch(identity, 0)
        numbers.increment_sequence_number("tp", 5)
        renumber(producer)
        renumber(producer)
        assert (numbers.has_pid(), numbers.sequence_number("tp")) == (False, 0)
    await producer.stop()
    plain = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    renumber(plain)
    await plain.stop()


@pytest.fixture(scope="module")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    need_kafka()
    with start_kafka(tmp_path_factory.mktemp("kafka") / "kafka") as broker:
        yield broker


@asynccontextmanager
async def gateways(connection: KafkaConnection, _: Path) -> AsyncIterator[Publisher]:
    publisher = KafkaPublisher(connection)
    await publisher.start()
    yield publisher
    await publisher.stop()


@asynccontextmanager
async def workers(connection: KafkaConnection, folder: Path) -> AsyncIterator[Publisher]:
    async with worker(connection, folder) as (app, _):
        yield app.publisher()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.asyncio
@pytest.mark.parametrize("is_numbered", [True, False])
@pytest.mark.parametrize("publishing", [gateways, workers])
@pytest.mark.parametrize(
    ("topic", "bad", "cause"),
    [
        (COMPACTED, Message(None, b"without a key", ()), Cause.INVALID),  # type: ignore[arg-type]
        (NARROW, Message(b"k", bytes(5000), ()), Cause.TOO_LARGE),
    ],
)
async def test_the_others_arrive(
    apache_kafka: Broker,
    tmp_path: Path,
    is_numbered: bool,
    publishing: type,
    topic: str,
    bad: Message,
    cause: Cause,
) -> None:
    connection = KafkaConnection(apache_kafka.bootstrap_servers)
    connection = replace(connection, idempotent_producer=is_numbered)
    await ensure_topics(connection, Wanted(partitions=1), [FRAMES])
    name = f"{topic}-{is_numbered}-{publishing.__name__}"
    config = {COMPACTED: {"cleanup.policy": "compact"}, NARROW: {"max.message.bytes": "2000"}}
    admin = connection.admin()
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config[topic])])
    await admin.close()
    async with publishing(connection, tmp_path) as publisher, asyncio.timeout(60):
        for _ in range(3):
            good = [Message(b"k", b"%d" % number, ()) for number in range(10)]
            sends = [publisher.send(name, m) for m in (*good[:5], bad, *good[5:])]
            results = await asyncio.gather(*sends, return_exceptions=True)
            failed = [one for one in results if one is not None]
            assert [(type(e), getattr(e, "cause", e)) for e in failed] == [(PermanentError, cause)]
    reader = connection.consumer()
    await reader.start()
    ends = await reader.end_offsets([TopicPartition(name, 0)])
    await reader.stop()
    assert list(ends.values()) == [30]
