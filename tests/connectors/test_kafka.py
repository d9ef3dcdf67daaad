"""Publisher and feed over the embedded broker; the publisher's contract over its twin too."""

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from connectors.decision_feed import LineDecisionFeed
from infra.stack.broker import Broker, start_broker
from streams.envelope import to_message
from streams.errors import UnavailableError
from streams.events import Alert, Decision, Frame
from streams.ids import new_frame_id
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.topics import ALERTS, DECISIONS, FRAMES, MAX_FETCH_BYTES, Topic
from tests.connectors.twins import MemoryBus, decision_for, free_port


async def make_topics(broker: Broker, *topics: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_topics(
        [NewTopic(t.name, t.partitions, 1, topic_configs=t.config) for t in topics]
    )
    await admin.close()


def frame_on(line: str, seq: int = 1) -> Frame:
    return Frame(
        frame_id=new_frame_id(),
        line=line,
        station="station1",
        product_id="demo",
        part_id=f"part-{seq}",
        plc_boot_id=1,
        trigger_seq=seq,
        captured_at=datetime.now(UTC),
        deadline=datetime.now(UTC),
        result_window_ms=1000,
        size_bytes=3,
        sha256="0",
    )


@pytest.mark.asyncio
async def test_a_frame_of_eight_mib_arrives_as_it_was(fresh_broker: Broker) -> None:
    await make_topics(fresh_broker, FRAMES)
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
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            await publisher.send(FRAMES.name, to_message(frame_on("line1"), b"x"))
        assert time.monotonic() - started < 5
    await real.stop()


@pytest.mark.asyncio
async def test_the_publisher_goes_on_after_the_broker_came_back() -> None:
    port = free_port()
    message = to_message(frame_on("line1"), b"x")
    publisher = KafkaPublisher(KafkaConnection(f"127.0.0.1:{port}", request_timeout_s=1.0))
    with start_broker(port) as broker:
        await make_topics(broker, FRAMES)
        await publisher.send(FRAMES.name, message)
    with pytest.raises(UnavailableError):
        await publisher.send(FRAMES.name, message)
    with start_broker(port) as broker:
        await make_topics(broker, FRAMES)
        await eventually_sends(publisher, message)
    await publisher.stop()


async def eventually_sends(publisher: KafkaPublisher, message) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await publisher.send(FRAMES.name, message)
                return
            except UnavailableError:
                await asyncio.sleep(0.1)


async def take(feed: LineDecisionFeed, count: int) -> list[Decision]:
    found: list[Decision] = []
    async with asyncio.timeout(20), aclosing(aiter(feed)) as decisions:
        async for decision in decisions:
            found.append(decision)
            if len(found) == count:
                break
    return found


@pytest.mark.asyncio
async def test_the_feed_yields_its_own_line_in_order_and_starts_at_the_end(
    fresh_broker: Broker,
) -> None:
    await make_topics(fresh_broker, DECISIONS, ALERTS)
    publisher = KafkaPublisher(KafkaConnection(fresh_broker.bootstrap_servers))
    old = decision_for(frame_on("line1", 99))
    await publisher.send(DECISIONS.name, to_message(old))
    await asyncio.sleep(0.01)  # record times have a resolution of a millisecond
    alerts: list[Alert] = []
    feed = LineDecisionFeed(
        fresh_broker.bootstrap_servers, "line1", max_wait_ms=10, on_alert=alerts.append
    )
    reading = asyncio.create_task(take(feed, 20))
    await asyncio.wait_for(feed.assigned.wait(), 10)
    mine = [decision_for(frame_on("line1", n)) for n in range(1, 21)]
    for line, stop in (("line1", True), ("line2", True), ("line1", False)):
        alert = Alert(
            alert_id=uuid4(),
            line=line,
            product_id="demo",
            limit="holds",
            reason="too many",
            request_stop=stop,
            raised_at=datetime.now(UTC),
        )
        await publisher.send(ALERTS.name, to_message(alert))
    for decision in mine:
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line10"))))
        await publisher.send(DECISIONS.name, to_message(decision))
    got = await reading
    assert [d.trigger_seq for d in got] == list(range(1, 21))
    assert [(a.line, a.request_stop) for a in alerts] == [("line1", True)]
    missed: list[Alert] = []
    again = LineDecisionFeed(
        fresh_broker.bootstrap_servers,
        "line1",
        lookback_s=600,
        max_wait_ms=10,
        on_alert=missed.append,
    )
    assert [d.trigger_seq for d in await take(again, 21)] == [99, *range(1, 21)]
    assert missed == alerts
    await publisher.stop()


@pytest.mark.asyncio
async def test_the_feed_survives_an_outage_and_unreadable_records() -> None:
    port = free_port()
    feed = LineDecisionFeed(f"127.0.0.1:{port}", "line1", timeout_s=2.0, max_wait_ms=10)
    publisher = KafkaPublisher(KafkaConnection(f"127.0.0.1:{port}", request_timeout_s=1.0))
    reading = asyncio.create_task(take(feed, 2))
    with start_broker(port) as broker:
        await make_topics(broker, DECISIONS, ALERTS)
        await asyncio.wait_for(feed.assigned.wait(), 10)
        bad = to_message(decision_for(frame_on("line1", 5)))
        await publisher.send(DECISIONS.name, type(bad)(bad.key, b"{}", bad.headers))
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 1))))
        await asyncio.sleep(0.3)
    with start_broker(port) as broker:
        await make_topics(broker, DECISIONS, ALERTS, FRAMES)
        await eventually_sends(publisher, to_message(frame_on("line1"), b"x"))
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 2))))
        assert [d.trigger_seq for d in await reading] == [1, 2]
    await publisher.stop()


@pytest.mark.asyncio
async def test_decisions_that_travel_together_come_once_and_are_no_lost_log(
    fresh_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker tells the end of a log too low after a batch of several records."""
    monkeypatch.setattr("connectors.decision_feed._TRUNCATION_CHECK_S", 0.0)
    await make_topics(fresh_broker, DECISIONS, ALERTS)
    publisher = KafkaPublisher(KafkaConnection(fresh_broker.bootstrap_servers))
    feed = LineDecisionFeed(fresh_broker.bootstrap_servers, "line1", max_wait_ms=10)
    with capture_logs() as logs:
        reading = asyncio.create_task(take(feed, 11))
        await asyncio.wait_for(feed.assigned.wait(), 10)
        first = [to_message(decision_for(frame_on("line1", n))) for n in range(1, 11)]
        await asyncio.gather(*(publisher.send(DECISIONS.name, m) for m in first))
        await asyncio.sleep(3)  # idle fetches, each followed by a look at the log's end
        await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 11))))
        got = await reading
    assert sorted(d.trigger_seq for d in got) == list(range(1, 12))
    assert [entry for entry in logs if entry["event"] == "feed.log_lost"] == []
    await publisher.stop()


@pytest.mark.asyncio
async def test_a_cancelled_future_of_the_library_does_not_end_the_feed(
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
    feed = LineDecisionFeed(f"127.0.0.1:{free_port()}", "line1", timeout_s=1.0)
    reading = asyncio.create_task(take(feed, 1))
    async with asyncio.timeout(15):
        while stops < 2:
            assert not reading.done()
            await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reading, 5)
