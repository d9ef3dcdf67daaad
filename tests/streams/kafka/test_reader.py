"""The reader of hand-assigned partitions, over the embedded broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.testing import capture_logs

from infra.stack.broker import Broker, start_broker
from infra.stack.process import free_port
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BEGINNING, END, PartitionReader, partition_of
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, COUNTED, DECISIONS, POLICIES, Topic
from tests.waiting import until

TOPICS = (DECISIONS, ALERTS, COUNTED)


def connection(broker: Broker) -> KafkaConnection:
    return KafkaConnection(broker.bootstrap_servers, request_timeout_s=5.0, fetch_max_wait_ms=10)


@asynccontextmanager
async def publishing(broker: Broker) -> AsyncIterator[Callable[..., asyncio.Task[None]]]:
    """Sends values as a batch: several in one go travel together."""
    publisher = KafkaPublisher(connection(broker))

    async def send(topic: Topic, *values: bytes, partition: int | None = 0) -> None:
        messages = [Message(b"key", value, (), partition) for value in values]
        await asyncio.gather(*(publisher.send(topic.name, m) for m in messages))

    try:
        yield lambda *args, **options: asyncio.create_task(send(*args, **options))
    finally:
        await publisher.stop()


class Following:
    """What a reader gave so far."""

    def __init__(self, reader: PartitionReader) -> None:
        self.reader = reader
        self.values: list[bytes] = []
        self.ends = 0
        """How often the reader said that it had caught up."""

    async def run(self) -> None:
        async with aclosing(self.reader.follow()) as batches:
            async for records in batches:
                self.values += [record.value for record in records]
                self.ends += not records

    async def until(self, *values: bytes) -> None:
        await until(lambda: len(self.values) >= len(values), 20)
        assert sorted(self.values) == sorted(values)


@asynccontextmanager
async def following(reader: PartitionReader) -> AsyncIterator[Following]:
    found = Following(reader)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read(reader: PartitionReader, partitions: list[int] | None = None) -> list[bytes]:
    return [r.value async for records in reader.read_to_end(partitions) for r in records]


@pytest.mark.asyncio
async def test_to_the_end_of_some_partitions_again_and_again(fresh_broker: Broker) -> None:
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    reader = PartitionReader(connection(fresh_broker), {COUNTED.name: BEGINNING})
    assert await read(reader) == []
    async with publishing(fresh_broker) as send:
        await send(COUNTED, *[b"%d" % n for n in range(100)])
        await send(COUNTED, b"other", partition=1)
        assert sorted(await read(reader, [1])) == [b"other"]
        assert len(await read(reader, [0])) == 100, "all of a batch, though its end is told too low"
        assert len(await read(reader)) == 101
    with pytest.raises(UnavailableError, match="not all of"):
        await read(reader, [999])


@pytest.mark.asyncio
async def test_to_the_end_without_a_broker_fails_in_time() -> None:
    away = KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=0.5)
    with pytest.raises(UnavailableError, match=r"andon\.counted at 127"):
        await read(PartitionReader(away, {COUNTED.name: BEGINNING}))


@pytest.mark.asyncio
async def test_begins_at_the_beginning_the_end_or_a_moment(fresh_broker: Broker) -> None:
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    async with publishing(fresh_broker) as send:
        for topic in TOPICS:
            await send(topic, b"old " + topic.name.encode())
        await asyncio.sleep(0.01)  # record times have a resolution of a millisecond
        since = {DECISIONS.name: BEGINNING, ALERTS.name: END, COUNTED.name: time.time()}
        async with following(PartitionReader(connection(fresh_broker), since)) as found:
            await asyncio.wait_for(found.reader.caught_up.wait(), 10)
            await found.until(b"old andon.decisions")
            for topic in TOPICS:
                await send(topic, b"new " + topic.name.encode())
            await found.until(
                b"old andon.decisions",
                b"new andon.decisions",
                b"new andon.alerts",
                b"new andon.counted",
            )
            assert found.ends == 1


@pytest.mark.asyncio
async def test_the_last_records_are_read_whatever_their_times_say(fresh_broker: Broker) -> None:
    """This host's clock is an hour ahead of whoever sent them."""
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    async with publishing(fresh_broker) as send:
        for number in range(5):
            await send(DECISIONS, b"%d" % number)
        since = {DECISIONS.name: time.time() + 3600, ALERTS.name: time.time() + 3600}
        await send(ALERTS, b"an alert")
        reader = PartitionReader(connection(fresh_broker), since, last={DECISIONS.name: 3})
        async with following(reader) as found:
            await found.until(b"2", b"3", b"4")
            await asyncio.wait_for(reader.caught_up.wait(), 10)
            assert len(found.values) == 3
        more = PartitionReader(connection(fresh_broker), since, last={DECISIONS.name: 99})
        async with following(more) as found:
            await found.until(b"0", b"1", b"2", b"3", b"4")


def key_in(partition: int, partitions: int) -> bytes:
    keys = (f"line{n}/station1".encode() for n in range(1000))
    return next(key for key in keys if partition_of(key, partitions) == partition)


@pytest.mark.asyncio
async def test_of_a_keyed_topic_the_partition_is_read_that_its_senders_take(
    fresh_broker: Broker,
) -> None:
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    own, other = (key_in(number, DECISIONS.partitions) for number in (2, 3))
    publisher = KafkaPublisher(connection(fresh_broker))
    try:
        for key in (own, other, own):
            await publisher.send(DECISIONS.name, Message(key, key, ()))
            await publisher.send(COUNTED.name, Message(key, key, ()))
    finally:
        await publisher.stop()
    since = {DECISIONS.name: BEGINNING, COUNTED.name: BEGINNING}
    reader = PartitionReader(connection(fresh_broker), since, keys={DECISIONS.name: own})
    found = [(r.topic, r.value) async for records in reader.read_to_end() for r in records]
    assert sorted(found) == sorted(
        [(DECISIONS.name, own)] * 2 + [(COUNTED.name, key) for key in (own, other, own)]
    )


@pytest.mark.asyncio
async def test_partitions_that_are_added_are_read_too(
    fresh_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker adds none to a topic: here it says at first that there are fewer."""
    from streams.kafka import reader as module

    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    key = next(
        key
        for key in (f"line{n}/station1".encode() for n in range(1000))
        if partition_of(key, 2) == 1 and partition_of(key, DECISIONS.partitions) == 3
    )
    few, whole = True, module.partitions_of

    async def told(consumer: AIOKafkaConsumer, names: Iterable[str]) -> list[TopicPartition]:
        return [p for p in await whole(consumer, names) if p.partition < 2 or not few]

    monkeypatch.setattr(module, "partitions_of", told)
    monkeypatch.setattr(module, "RECOUNT_S", 0.0)
    reader = PartitionReader(
        connection(fresh_broker), {DECISIONS.name: END}, keys={DECISIONS.name: key}
    )
    async with publishing(fresh_broker) as send, following(reader) as found:
        await until(lambda: found.ends == 1, 20)
        await send(DECISIONS, b"new place", partition=3)
        few = False
        await found.until(b"new place")
        await send(DECISIONS, b"sent by one who does not know it yet", partition=1)
        await found.until(b"new place", b"sent by one who does not know it yet")


@pytest.mark.asyncio
async def test_follows_a_topic_once_it_exists(fresh_broker: Broker) -> None:
    since = {POLICIES.name: BEGINNING, ALERTS.name: END}
    async with following(PartitionReader(connection(fresh_broker), since)) as found:
        await asyncio.wait_for(found.reader.caught_up.wait(), 10)
        await ensure_topics(connection(fresh_broker), topics=[POLICIES, ALERTS])
        async with publishing(fresh_broker) as send:
            await send(POLICIES, b"policy")
            await send(ALERTS, b"alert")
        await found.until(b"policy", b"alert")


@pytest.mark.asyncio
@pytest.mark.parametrize("resume", [True, False])
async def test_goes_on_after_an_outage_that_lost_the_log(resume: bool) -> None:
    port = free_port()
    here = KafkaConnection(f"127.0.0.1:{port}", request_timeout_s=2.0, fetch_max_wait_ms=10)
    reader = PartitionReader(here, {DECISIONS.name: BEGINNING}, resume)
    async with following(reader) as found:
        with start_broker(port) as broker:
            await ensure_topics(connection(broker), topics=[DECISIONS])
            async with publishing(broker) as send:
                await send(DECISIONS, b"1", b"2", b"3")
                await found.until(b"1", b"2", b"3")
        with start_broker(port) as broker:
            await ensure_topics(connection(broker), topics=[DECISIONS])
            async with publishing(broker) as send:
                await send(DECISIONS, b"4")
                await found.until(b"1", b"2", b"3", b"4")


@pytest.mark.asyncio
async def test_a_batch_comes_once_and_is_no_lost_log(
    fresh_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker tells the end of a log too low after a batch of several records."""
    monkeypatch.setattr("streams.kafka.reader.CHECK_S", 0.0)
    monkeypatch.setattr("streams.kafka.reader._POLL_MS", 100)
    await ensure_topics(connection(fresh_broker), topics=[DECISIONS])
    reader = PartitionReader(connection(fresh_broker), {DECISIONS.name: END})
    first = [b"%02d" % n for n in range(10)]
    with capture_logs() as logs:
        async with following(reader) as found, publishing(fresh_broker) as send:
            await asyncio.wait_for(reader.caught_up.wait(), 10)
            await send(DECISIONS, *first)
            await found.until(*first)
            await asyncio.sleep(0.5)  # idle fetches, each followed by a look at the log's end
            await send(DECISIONS, b"10")
            await found.until(*first, b"10")
    assert [entry for entry in logs if entry["event"] == "kafka.log_lost"] == []


@pytest.mark.asyncio
async def test_a_cancelled_future_of_the_library_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiokafka's consumer raises its fetch's ``CancelledError`` from ``stop``."""
    stops = 0
    stop = AIOKafkaConsumer.stop

    async def leaking(consumer: AIOKafkaConsumer) -> None:
        nonlocal stops
        stops += 1
        await stop(consumer)
        raise asyncio.CancelledError

    monkeypatch.setattr(AIOKafkaConsumer, "stop", leaking)
    away = KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=1.0)
    async with following(PartitionReader(away, {DECISIONS.name: END})):
        await until(lambda: stops >= 2, 15)
