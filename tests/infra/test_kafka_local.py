"""Apache Kafka on this machine: keeps what it acknowledged over a kill, is configured as asked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.stack import kafka_local
from infra.stack.kafka_local import LocalKafka, fetch_kafka, kafka_available, start_kafka
from infra.stack.process import ProcessError
from lab.harness.topics_reader import read_topic
from streams.envelope import Message
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import partitions_of
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ACKS, FRAMES, INLINE_LIMIT_BYTES, POLICIES
from tests.infra.needs import need_kafka

BIG = bytes(range(256)) * (INLINE_LIMIT_BYTES // 256)


@pytest.fixture
def kafka(scratch: Path) -> Iterator[LocalKafka]:
    need_kafka()
    with start_kafka(scratch / "kafka") as running:
        yield running


async def publish(servers: str, *values: bytes) -> None:
    publisher = KafkaPublisher(KafkaConnection(servers, idempotent_producer=True))
    try:
        for value in values:
            await publisher.send(FRAMES.name, Message(b"line1/s", value, (("n", b"1"),)))
    finally:
        await publisher.stop()


async def values_on(servers: str) -> list[bytes]:
    return [record.value async for record in read_topic(servers, [FRAMES.name])]


async def committed(servers: str, commit: bool) -> int | None:
    """Where the group stands; with ``commit`` it reads one message first."""
    consumer = AIOKafkaConsumer(
        FRAMES.name,
        bootstrap_servers=servers,
        group_id="g",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=len(BIG) * 2,
    )
    await consumer.start()
    try:
        if commit:
            await asyncio.wait_for(consumer.getone(), 30)
            await consumer.commit()
        found = [await consumer.committed(p) for p in consumer.assignment()]
    finally:
        await consumer.stop()
    return next((offset for offset in found if offset), None)


@pytest.mark.slow
def test_acknowledged_messages_and_groups_outlive_a_kill(kafka: LocalKafka) -> None:
    servers = kafka.bootstrap_servers
    asyncio.run(ensure_topics(KafkaConnection(servers)))
    asyncio.run(publish(servers, BIG, b"second"))
    assert asyncio.run(committed(servers, commit=True)) == 1
    kafka.kill()
    with start_kafka(kafka.data_dir, kafka.port) as again:
        assert again.bootstrap_servers == servers
        assert asyncio.run(values_on(servers)) == [BIG, b"second"]
        asyncio.run(publish(servers, b"third"))
        assert asyncio.run(values_on(servers)) == [BIG, b"second", b"third"]
        assert asyncio.run(committed(servers, commit=False)) == 1
        with pytest.raises(ProcessError, match="ANDON_KAFKA__BOOTSTRAP_SERVERS"):
            start_kafka(kafka.data_dir.parent / "other", kafka.port)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_no_topic_comes_into_being_by_itself(kafka: LocalKafka) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(FRAMES.name, 0)])
        await consumer._client.force_metadata_update()
        assert await partitions_of(consumer, [FRAMES.name]) == []
        await ensure_topics(KafkaConnection(kafka.bootstrap_servers))
        assert await partitions_of(consumer, ["other", POLICIES.name, ACKS.name]) == [
            TopicPartition(POLICIES.name, 0),
            *(TopicPartition(ACKS.name, number) for number in range(ACKS.partitions)),
        ]
    finally:
        await consumer.stop()


def test_without_java_or_maven_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "java" in kafka_available(tmp_path)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "Java 11" in kafka_available(tmp_path)
    with pytest.raises(ProcessError, match="Java 11"):
        start_kafka(tmp_path / "kafka", cache=tmp_path)
    assert not (tmp_path / "kafka").exists()


def test_maven_is_not_asked_for_what_is_there_and_leaves_no_half(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    monkeypatch.setattr(kafka_local.shutil, "which", lambda name: str(maven))
    maven.write_text("#!/bin/sh\necho 'no route to the repository'; exit 1\n")
    maven.chmod(0o755)
    with pytest.raises(ProcessError, match="no route to the repository"):
        fetch_kafka(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    maven.write_text(
        '#!/bin/sh\nfor w; do case "$w" in -DoutputDirectory=*) mkdir "${w#*=}";; esac; done\n'
    )
    folder = fetch_kafka(tmp_path / "cache")
    assert folder.is_dir()
    maven.unlink()
    assert fetch_kafka(tmp_path / "cache") == folder
