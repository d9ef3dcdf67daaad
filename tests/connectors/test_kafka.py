"""Publisher and decision feed over the embedded broker, and over its outages."""

import asyncio
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaConsumer

from connectors.decision_feed import KafkaDecisionFeed
from infra.stack.broker import Broker, start_broker
from infra.stack.process import free_port
from streams.envelope import Message, to_message
from streams.errors import UnavailableError
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, DECISIONS, FRAMES, MAX_FETCH_BYTES
from tests.connectors.line import MemoryBus, decision_for, frame_on
from tests.contracts.test_decision_feed import alert_on, take
from tests.waiting import until


def here(broker: Broker, timeout_s: float = 10.0) -> KafkaConnection:
    return KafkaConnection(broker.bootstrap_servers, timeout_s, fetch_max_wait_ms=10)


@pytest.mark.asyncio
async def test_a_frame_of_eight_mib_arrives_as_it_was(fresh_broker: Broker) -> None:
    await ensure_topics(here(fresh_broker), topics=[FRAMES])
    publisher = KafkaPublisher(KafkaConnection(fresh_broker.bootstrap_servers))
    body = bytes(range(256)) * (8 << 12)
    sent = to_message(frame_on("line1"), body)
    consumer = AIOKafkaConsumer(
        FRAMES.name,
        bootstrap_servers=fresh_broker.bootstrap_servers,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        fetch_max_bytes=MAX_FETCH_BYTES,
    )
    try:
        await publisher.send(FRAMES.name, sent)
        await consumer.start()
        record = await asyncio.wait_for(consumer.getone(), 10)
    finally:
        await publisher.stop()
        await consumer.stop()
    assert (record.key, record.value) == (sent.key, body)
    assert dict(record.headers) == dict(sent.headers)


@pytest.mark.asyncio
async def test_both_publishers_say_unavailable_when_they_are_down() -> None:
    twin = MemoryBus()
    twin.down = True
    real = KafkaPublisher(KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=1.0))
    for publisher in (twin, real):
        with pytest.raises(UnavailableError):
            await publisher.send(FRAMES.name, to_message(frame_on("line1"), b"x"))
    await real.stop()


@pytest.mark.asyncio
async def test_the_publisher_goes_on_after_the_broker_came_back() -> None:
    port = free_port()
    message = to_message(frame_on("line1"), b"x")
    publisher = KafkaPublisher(KafkaConnection(f"127.0.0.1:{port}", request_timeout_s=1.0))
    with start_broker(port) as broker:
        await ensure_topics(here(broker), topics=[FRAMES])
        await publisher.send(FRAMES.name, message)
    with pytest.raises(UnavailableError):
        await publisher.send(FRAMES.name, message)
    with start_broker(port) as broker:
        await ensure_topics(here(broker), topics=[FRAMES])
        await eventually_sends(publisher, message)
    await publisher.stop()


async def eventually_sends(publisher: KafkaPublisher, message: Message) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await publisher.send(FRAMES.name, message)
                return
            except UnavailableError:
                await asyncio.sleep(0.1)


@pytest.mark.asyncio
async def test_the_feed_starts_at_the_end_or_looks_back(fresh_broker: Broker) -> None:
    await ensure_topics(here(fresh_broker), topics=[DECISIONS, ALERTS])
    publisher = KafkaPublisher(here(fresh_broker))
    for number in (98, 99):
        decision = decision_for(frame_on("line1", number))
        await publisher.send(DECISIONS.name, to_message(decision))
    stop = alert_on("line1", request_stop=True)
    await publisher.send(ALERTS.name, to_message(stop))
    await asyncio.sleep(0.01)  # record times have a resolution of a millisecond
    feed = KafkaDecisionFeed(here(fresh_broker), "line1")
    reading = asyncio.create_task(take(feed, 1))
    await asyncio.wait_for(feed.caught_up.wait(), 10)
    fresh = decision_for(frame_on("line1", 1))
    await publisher.send(DECISIONS.name, to_message(fresh))
    assert await reading == [fresh]
    again = await take(KafkaDecisionFeed(here(fresh_broker), "line1", lookback_s=600), 4)
    assert [e.trigger_seq for e in again if isinstance(e, Decision)] == [98, 99, 1]
    assert [e for e in again if isinstance(e, Alert)] == [stop]
    await publisher.stop()


@pytest.mark.asyncio
async def test_the_feed_survives_an_outage_and_unreadable_records() -> None:
    port = free_port()
    where = KafkaConnection(f"127.0.0.1:{port}", 2.0, fetch_max_wait_ms=10)
    feed = KafkaDecisionFeed(where, "line1")
    publisher = KafkaPublisher(KafkaConnection(f"127.0.0.1:{port}", 1.0))
    seen: list[Decision | Alert] = []

    async def read() -> None:
        async with aclosing(aiter(feed)) as events:
            async for event in events:
                seen.append(event)

    reading = asyncio.create_task(read())
    with start_broker(port) as broker:
        await ensure_topics(here(broker), topics=[DECISIONS, ALERTS])
        bad = to_message(decision_for(frame_on("line1", 5)))
        await publisher.send(DECISIONS.name, type(bad)(bad.key, b"{}", bad.headers))
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 1))))
        await until(lambda: len(seen) == 1, 20)
    with start_broker(port) as broker:
        await ensure_topics(here(broker), topics=[DECISIONS, ALERTS, FRAMES])
        await eventually_sends(publisher, to_message(frame_on("line1"), b"x"))
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 2))))
        await until(lambda: len(seen) == 2, 30)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert [e.trigger_seq for e in seen if isinstance(e, Decision)] == [1, 2]
    await publisher.stop()
