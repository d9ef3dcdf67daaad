"""The decision feed over the embedded broker: where it begins, and over an outage."""

import asyncio
from contextlib import aclosing

import pytest

from connectors.decision_feed import KafkaDecisionFeed
from infra.stack.broker import Broker, start_broker
from infra.stack.process import free_port
from streams.envelope import to_message
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, DECISIONS, FRAMES
from tests.connectors.line import decision_for, frame_on
from tests.contracts.test_decision_feed import alert_on, take
from tests.contracts.test_publisher import eventually_sends
from tests.waiting import until


def here(broker: Broker) -> KafkaConnection:
    return KafkaConnection(broker.bootstrap_servers, fetch_max_wait_ms=10)


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
    feed = KafkaDecisionFeed(here(fresh_broker), "line1", "station1")
    reading = asyncio.create_task(take(feed, 1))
    await asyncio.wait_for(feed.caught_up.wait(), 10)
    fresh = decision_for(frame_on("line1", 1))
    await publisher.send(DECISIONS.name, to_message(fresh))
    assert await reading == [fresh]
    again = await take(
        KafkaDecisionFeed(here(fresh_broker), "line1", "station1", lookback_s=600), 4
    )
    assert [e.trigger_seq for e in again if isinstance(e, Decision)] == [98, 99, 1]
    assert [e for e in again if isinstance(e, Alert)] == [stop]
    await publisher.stop()


@pytest.mark.asyncio
async def test_the_feed_survives_an_outage_and_unreadable_records() -> None:
    port = free_port()
    where = KafkaConnection(f"127.0.0.1:{port}", 2.0, fetch_max_wait_ms=10)
    feed = KafkaDecisionFeed(where, "line1", "station1")
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
