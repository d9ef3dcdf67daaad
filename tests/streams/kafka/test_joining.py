"""A worker joins its group while the broker stands still, and works once the broker goes on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from faust.tables.recovery import RebalanceAgain, ServiceStopped

from infra.stack.broker import Broker, start_broker
from streams.envelope import Message
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.faust_adapter import BoundedConsumerThread, PatientRecovery
from streams.kafka.faust_app import BusConfig, RoleApp, create_app
from streams.kafka.intake import Handler, Intake
from streams.kafka.topic_admin import ensure_topics
from streams.topics import CHANGEOVERS, FRAMES
from tests.waiting import until

TIMEOUT_S = 4.0
"""Of a request, of which the embedded broker holds one to join for 3 s; Faust gives up after it."""


@pytest.fixture
def broker() -> Iterator[Broker]:
    with start_broker() as running:
        try:
            yield running
        finally:
            os.kill(running.process.pid, signal.SIGCONT)


class Handled:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def handle(self, delivery: Delivery) -> None:
        self.values.append(delivery.value)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        raise error


@pytest.fixture
def stalled(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The broker is stopped when a worker asks where its group stopped; set once it did."""
    asks, stopped = BoundedConsumerThread._seek_to_committed, asyncio.Event()
    loop = asyncio.get_event_loop()

    async def asks_in_vain(thread: BoundedConsumerThread) -> Any:
        if not stopped.is_set():
            os.kill(broker.process.pid, signal.SIGSTOP)
            loop.call_soon_threadsafe(stopped.set)
        return await asks(thread)

    monkeypatch.setattr(BoundedConsumerThread, "_seek_to_committed", asks_in_vain)
    return stopped


@pytest_asyncio.fixture
async def role(broker: Broker, tmp_path: Path) -> AsyncIterator[tuple[RoleApp, Handled]]:
    connection = KafkaConnection(broker.bootstrap_servers, TIMEOUT_S, fetch_max_wait_ms=20)
    await ensure_topics(connection, None, [FRAMES, CHANGEOVERS])
    bus = BusConfig(connection, tmp_path, None, session_timeout_s=4.0, rebalance_timeout_s=2.0)
    app, handled = RoleApp("inspect", bus, 64), Handled()
    opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
    opened.set_result(handled)
    app.start([FRAMES, CHANGEOVERS], Intake(16, 1 << 20, lambda *_, **__: None), opened)
    yield app, handled
    await app.stop()


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_a_worker_reads_though_the_broker_stood_still_while_it_joined(
    stalled: asyncio.Event,
    role: tuple[RoleApp, Handled],
    broker: Broker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, handled = role
    joined = asyncio.create_task(app.joined(asyncio.Event()))
    await asyncio.wait_for(stalled.wait(), 30)
    await until(lambda: "OffsetFetchRequest" in caplog.text, 30, "a request that took too long")
    os.kill(broker.process.pid, signal.SIGCONT)
    await asyncio.wait_for(joined, 60)
    await app.publisher().send(FRAMES.name, Message(b"L1/S1", b"a picture", ()))
    await until(lambda: handled.values == [b"a picture"], 30, "it is given what is sent")


@pytest.fixture
def recovery(tmp_path: Path) -> PatientRecovery:
    app = create_app("inspect", BusConfig(KafkaConnection("127.0.0.1:1"), tmp_path, None), 64)
    found = app.tables.recovery
    assert isinstance(found, PatientRecovery)
    return found


@pytest.mark.asyncio
async def test_the_wait_for_committed_offsets_outlasts_fausts_deadline(
    recovery: PatientRecovery,
) -> None:
    come = asyncio.Event()
    waits = asyncio.create_task(recovery._wait(come.wait(), timeout=0.0))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waits.done()
    come.set()
    await waits


@pytest.mark.asyncio
async def test_the_wait_ends_with_another_rebalance_and_with_the_app(
    recovery: PatientRecovery,
) -> None:
    recovery.signal_recovery_start.set()
    with pytest.raises(RebalanceAgain):
        await recovery._wait(asyncio.Event().wait())
    recovery.signal_recovery_start.clear()
    recovery._stopped.set()
    with pytest.raises(ServiceStopped):
        await recovery._wait(asyncio.Event().wait())
