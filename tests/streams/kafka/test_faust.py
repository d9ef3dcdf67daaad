"""The adapter over Faust's transport: what it sets is what aiokafka gets."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_adapter import BoundedConsumerThread, BoundedTransport
from streams.kafka.faust_app import BusConfig, create_app, faust_topic
from streams.kafka.intake import Handler, Intake
from streams.topics import FRAMES, MAX_FETCH_BYTES, MAX_MESSAGE_BYTES
from tests.waiting import until


def app_for(tmp_path: Path, instance: str | None = "0", **connection: Any) -> Any:
    bus = BusConfig(KafkaConnection("127.0.0.1:1", **connection), tmp_path, instance)
    return create_app("inspect", bus, 4096)


def bounded(most_events: int = 1024, most_bytes: int = 1 << 28) -> Intake:
    return Intake(most_events, most_bytes, lambda *_, **__: None)


@pytest.mark.asyncio
async def test_the_consumer_waits_as_long_as_told_and_takes_8_mib(tmp_path: Path) -> None:
    app = app_for(tmp_path, "7", fetch_max_wait_ms=37)
    assert isinstance(app.transport, BoundedTransport)
    thread = app.consumer._thread
    thread.thread_loop.close()
    assert isinstance(thread, BoundedConsumerThread)
    consumer = thread._create_worker_consumer(app.transport)
    assert consumer._fetch_max_wait_ms == 37
    assert consumer._fetch_max_bytes == MAX_FETCH_BYTES
    assert consumer._max_partition_fetch_bytes == MAX_FETCH_BYTES
    assert consumer._group_instance_id == "andon-inspect-7"
    assert consumer._session_timeout_ms == 6000
    assert consumer._heartbeat_interval_ms == 1000
    assert consumer._request_timeout_ms > consumer._rebalance_timeout_ms, "a join is held so long"
    await consumer.stop()


@pytest.mark.asyncio
async def test_a_partition_on_which_nothing_is_sent_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_for(tmp_path)
    thread = app.consumer._thread
    thread.thread_loop.close()
    consumer = thread._create_worker_consumer(app.transport)
    idle = TopicPartition(FRAMES.name, 0)
    consumer.assign([idle])
    consumer._fetcher = SimpleNamespace(_subscriptions=consumer._subscription)
    thread._consumer, thread.time_started = consumer, -1e6
    AIOKafkaConsumerThread.verify_event_path(thread, 0.0, idle)
    assert "has not sent fetch request" in caplog.text, "Faust's own search finds a fault"
    caplog.clear()
    thread.verify_event_path(0.0, idle)
    assert not caplog.records
    consumer._fetcher = None
    await consumer.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("idempotent", [True, False])
async def test_the_producer_is_idempotent_where_told(tmp_path: Path, idempotent: bool) -> None:
    app = app_for(tmp_path, idempotent_producer=idempotent)
    settings = {**app.producer._settings_default(), **app.producer._settings_extra()}
    assert settings.get("enable_idempotence", False) is idempotent
    assert settings["max_request_size"] == MAX_MESSAGE_BYTES


@pytest.mark.asyncio
async def test_several_brokers_and_no_topic_creation(tmp_path: Path) -> None:
    app = create_app("record", BusConfig(KafkaConnection("a:1, b:2"), tmp_path, None), 4096)
    assert [(url.host, url.port) for url in app.conf.broker_consumer] == [("a", 1), ("b", 2)]
    assert app.conf.consumer_group_instance_id is None
    assert not app.conf.topic_allow_declare
    assert app.conf.id == "andon-record"
    assert faust_topic(app, FRAMES).get_topic_name() == FRAMES.name


class Handling:
    """Hands events and errors to functions."""

    def __init__(self, handle: Any, failed: Any) -> None:
        self.handle, self.failed = handle, failed


def following(
    intake: Intake, handle: Any, stream: Any, failed: Any = None
) -> "asyncio.Future[None]":
    """The agent, consuming."""
    opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
    opened.set_result(Handling(handle, failed))
    return asyncio.ensure_future(intake.agent(opened)(stream))


@dataclass
class FakeMessage:
    offset: int
    value: bytes | None
    topic: str = FRAMES.name
    partition: int = 0
    key: bytes = b"k"
    headers: tuple[()] = ()
    timestamp_type: int = 0
    timestamp: float = 0.0
    tp: tuple[str, int] = ("t", 0)
    generation_id: int = 1


class FakeEvent:
    """A Faust event as the intake sees it."""

    def __init__(self, offset: int, value: bytes, topic: str = FRAMES.name) -> None:
        self.message = FakeMessage(offset, value, topic)
        self.value: bytes | None = value


class FakeStream:
    """Yields events that are put, notes what is acknowledged."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[FakeEvent] = asyncio.Queue()
        self.acked: list[int] = []

    def noack(self) -> "FakeStream":
        return self

    async def events(self) -> Any:
        while True:
            yield await self.queue.get()

    async def ack(self, event: FakeEvent) -> None:
        self.acked.append(event.message.offset)


@pytest.mark.asyncio
async def test_the_gate_closes_at_the_byte_bound_and_opens_again() -> None:
    intake = bounded(most_bytes=100)
    stream, release = FakeStream(), asyncio.Event()

    async def handler(_: object) -> None:
        await release.wait()

    running = following(intake, handler, stream)
    for offset in range(2):
        stream.queue.put_nowait(FakeEvent(offset, bytes(60)))
    await until(lambda: intake.in_flight == 2, 2, "both taken")

    async def take(_: object) -> None:
        taken.set()

    taken = asyncio.Event()
    gate = asyncio.create_task(intake.gated(take)(None))
    await asyncio.sleep(0.02)
    assert not taken.is_set()
    release.set()
    await asyncio.wait_for(gate, 2)
    assert taken.is_set()
    assert stream.acked == [0, 1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.asyncio
async def test_topics_that_stand_apart_hold_back_themselves_and_no_others() -> None:
    intake = Intake(2, 1000, lambda *_, **__: None, apart={"pictures"})
    told: list[tuple[frozenset[str], bool]] = []
    intake.hold_back = lambda topics, back: told.append((topics, back))
    stream, release, passed = FakeStream(), asyncio.Event(), asyncio.Event()

    async def handler(delivery: Any) -> None:
        if delivery.topic == "pictures":
            await release.wait()

    async def take(_: object) -> None:
        passed.set()

    running = following(intake, handler, stream)
    for offset in range(3):
        stream.queue.put_nowait(FakeEvent(offset, b"x", "pictures"))
    await until(lambda: intake.in_flight == 3, 2, "all taken")
    assert told == [(frozenset({"pictures"}), True)] * 2, "again for one that came all the same"
    await asyncio.wait_for(intake.gated(take)(FakeMessage(3, b"x")), 2)
    assert passed.is_set()
    release.set()
    await until(lambda: not intake.in_flight, 2, "all done")
    await until(lambda: told[-1] == (frozenset({"pictures"}), False), 2, "let go again")
    assert told.count((frozenset({"pictures"}), False)) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.asyncio
async def test_events_finish_in_any_order_and_are_acknowledged_in_theirs() -> None:
    intake, stream = bounded(), FakeStream()
    gates = {offset: asyncio.Event() for offset in range(3)}

    async def handler(delivery: Any) -> None:
        await gates[delivery.offset].wait()

    running = following(intake, handler, stream)
    for offset in range(3):
        stream.queue.put_nowait(FakeEvent(offset, b"x"))
    await until(lambda: intake.in_flight == 3, 2, "all taken")
    gates[2].set()
    gates[1].set()
    await until(lambda: intake.in_flight == 1, 2, "two finished")
    assert stream.acked == []
    gates[0].set()
    assert await intake.settle(2.0) == 0
    assert stream.acked == [0, 1, 2]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.asyncio
async def test_draining_leaves_what_hangs_unacknowledged() -> None:
    intake, stream = bounded(), FakeStream()

    async def handler(delivery: Any) -> None:
        if delivery.offset == 1:
            await asyncio.Event().wait()

    running = following(intake, handler, stream)
    for offset in range(2):
        stream.queue.put_nowait(FakeEvent(offset, b"x"))
    await until(lambda: intake.in_flight == 1 and stream.acked == [0], 2, "one left")
    assert await intake.drain(0.05) == 1
    stream.queue.put_nowait(FakeEvent(2, b"x"))
    await asyncio.sleep(0.01)
    assert intake.in_flight == 0, "a draining role takes nothing"
    assert stream.acked == [0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.asyncio
async def test_an_error_is_kept_before_its_event_is_acknowledged() -> None:
    """What cannot even be kept stays unacknowledged, with all after it."""
    intake, stream = bounded(), FakeStream()
    kept: list[tuple[int, str]] = []

    async def handler(delivery: Any) -> None:
        raise ValueError(f"number {delivery.offset}")

    async def failed(delivery: Any, error: Exception) -> None:
        if delivery.offset == 1:
            raise ValueError("the dead letter is too large")
        kept.append((delivery.offset, str(error)))

    running = following(intake, handler, stream, failed)
    for offset in range(3):
        stream.queue.put_nowait(FakeEvent(offset, b"x"))
    await until(lambda: len(kept) == 2, 2, "two kept")
    assert await intake.settle(2.0) == 0
    assert kept == [(0, "number 0"), (2, "number 2")]
    assert stream.acked == [0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
