"""The fetches of readers and roles wait the longer, the longer their work takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from connectors.decision_feed import KafkaDecisionFeed
from infra.stack.broker import Broker
from streams.envelope import Message, to_message
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.faust_app import BusConfig, RoleApp
from streams.kafka.fetch_pace import LATEST, MOST_MS, FetchPace
from streams.kafka.intake import Handler, Intake
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, CHANGEOVERS, DECISIONS, FRAMES
from tests.connectors.line import decision_for, frame_on
from tests.waiting import until

LEAST_MS = 20


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The wait of each fetch that is sent, milliseconds."""
    found: list[int] = []
    send = AIOKafkaClient.send

    async def noted(
        client: AIOKafkaClient, node: object, request: object, **more: object
    ) -> object:
        if isinstance(request, FetchRequest):
            found.append(request._max_wait_ms)
        return await send(client, node, request, **more)

    monkeypatch.setattr(AIOKafkaClient, "send", noted)
    return found


def here(broker: Broker) -> KafkaConnection:
    return KafkaConnection(broker.bootstrap_servers, fetch_max_wait_ms=LEAST_MS)


def test_a_wait_that_is_longer_already_stays() -> None:
    pace = FetchPace(500)
    pace.took.extend([10.0] * LATEST)
    assert pace.wait_ms == 500


def test_a_clock_that_was_set_back_leaves_the_least_wait() -> None:
    pace = FetchPace(LEAST_MS)
    pace.took.extend([-3600.0] * LATEST)
    assert pace.wait_ms == LEAST_MS


@pytest.mark.asyncio
async def test_a_gateways_fetches_wait_a_fifth_of_what_its_latest_parts_took(
    fresh_broker: Broker, waits: list[int]
) -> None:
    await ensure_topics(here(fresh_broker), topics=[DECISIONS, ALERTS])
    feed = KafkaDecisionFeed(here(fresh_broker), "line1", "station1")
    publisher = KafkaPublisher(here(fresh_broker))
    seen = []

    async def read() -> None:
        async with aclosing(aiter(feed)) as events:
            async for event in events:
                seen.append(event)

    reading = asyncio.create_task(read())
    await asyncio.wait_for(feed.caught_up.wait(), 10)
    await until(lambda: waits.count(LEAST_MS) > 1)
    frame = frame_on("line1")
    long_ago = frame.captured_at.replace(year=frame.captured_at.year - 1)
    await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 1))))
    await until(lambda: len(seen) == 1)
    slow = [frame_on("line1", 2 + i, captured_at=long_ago) for i in range(LATEST)]
    await publisher.send(DECISIONS.name, to_message(decision_for(slow[0])))
    await until(lambda: len(seen) == 2)
    assert MOST_MS not in waits, "one that took long makes nobody else wait"
    for frame in slow[1:]:
        await publisher.send(DECISIONS.name, to_message(decision_for(frame)))
    await until(lambda: MOST_MS in waits[-2:])
    await publisher.send(DECISIONS.name, to_message(decision_for(frame_on("line1", 9))))
    await until(lambda: MOST_MS not in waits[-2:])
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await publisher.stop()


class Taking:
    """Holds each event as long as told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.done = 0

    async def handle(self, delivery: Delivery) -> None:
        await asyncio.sleep(self.seconds)
        self.done += 1

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        raise error


@pytest_asyncio.fixture
async def role(fresh_broker: Broker, tmp_path: Path) -> AsyncIterator[tuple[RoleApp, Taking]]:
    await ensure_topics(here(fresh_broker), None, [FRAMES, CHANGEOVERS])
    app, handler = RoleApp("inspect", BusConfig(here(fresh_broker), tmp_path, None), 64), Taking()
    opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
    opened.set_result(handler)
    app.start([FRAMES, CHANGEOVERS], Intake(16, 1 << 20, lambda *_, **__: None), opened)
    await asyncio.wait_for(app.joined(asyncio.Event()), 60)
    yield app, handler
    await app.stop()


@pytest.mark.asyncio
async def test_a_roles_fetches_wait_a_fifth_of_what_its_latest_events_took(
    role: tuple[RoleApp, Taking], waits: list[int]
) -> None:
    app, handler = role
    publisher = app.publisher()

    async def held(events: int, seconds: float) -> None:
        handler.seconds, done = seconds, handler.done + events
        for _ in range(events):
            await publisher.send(FRAMES.name, Message(b"L1/S1", b"a picture", ()))
        await until(lambda: handler.done == done, 30)

    async def fetched() -> None:
        """Faust looks for records once a second at least, and paces the fetches then."""
        before = len(waits)
        await asyncio.sleep(2.5)
        await until(lambda: len(waits) > before + 1)

    await held(1, 1.5)
    await fetched()
    assert MOST_MS not in waits, "one that took long makes nobody else wait, however long it was"
    await held(LATEST - 1, 1.5)
    await until(lambda: waits[-1] == MOST_MS, 30)
    await held(1, 0.0)
    await until(lambda: waits[-1] == LEAST_MS, 30)
