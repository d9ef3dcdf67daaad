"""The contract of ``streams.ports.DecisionFeed``: the twin and Kafka keep it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from connectors.decision_feed import KafkaDecisionFeed
from streams.changeovers import ChangeoverStep
from streams.envelope import to_message
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.ports import DecisionFeed
from streams.topics import ALERTS, CHANGEOVERS, DECISIONS
from tests.connectors.line import decision_for, frame_on
from tests.contracts.twins.decision_feed import InMemoryDecisionFeed
from tests.streams.made import recipe_request

Tell = Callable[[Decision | Alert | ChangeoverStep], Awaitable[None]]
Told = AbstractAsyncContextManager[tuple[DecisionFeed, Tell]]


def alert_on(line: str, request_stop: bool) -> Alert:
    return Alert(
        alert_id=uuid4(),
        line=line,
        product_id="demo",
        limit="holds",
        reason="too many",
        request_stop=request_stop,
        raised_at=datetime.now(UTC),
    )


async def take(feed: DecisionFeed, count: int) -> list[Decision | Alert | ChangeoverStep]:
    found: list[Decision | Alert | ChangeoverStep] = []
    async with asyncio.timeout(60), aclosing(aiter(feed)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


@asynccontextmanager
async def twin() -> AsyncIterator[tuple[DecisionFeed, Tell]]:
    feed = InMemoryDecisionFeed("line1")

    async def say(event: Decision | Alert | ChangeoverStep) -> None:
        feed.tell(event)

    yield feed, say


@asynccontextmanager
async def kafka(servers: str) -> AsyncIterator[tuple[DecisionFeed, Tell]]:
    connection = KafkaConnection(servers, fetch_max_wait_ms=10)
    await ensure_topics(connection, topics=[DECISIONS, ALERTS, CHANGEOVERS])
    publisher = KafkaPublisher(connection)

    async def say(event: Decision | Alert | ChangeoverStep) -> None:
        topic = {Alert: ALERTS, ChangeoverStep: CHANGEOVERS}.get(type(event), DECISIONS)
        await publisher.send(topic.name, to_message(event))

    try:
        yield (
            KafkaDecisionFeed(connection, "line1", "station1", lookback_s=60.0, has_recipes=True),
            say,
        )
    finally:
        await publisher.stop()


@pytest.fixture(params=["memory", "kafka"])
def told(request: pytest.FixtureRequest) -> Told:
    """The feed of line1, and a way to say something to all lines."""
    if request.param == "memory":
        return twin()
    return kafka(request.getfixturevalue("fresh_broker").bootstrap_servers)


@pytest.mark.asyncio
async def test_the_lines_own_decisions_in_order(told: Told) -> None:
    async with told as (feed, say):
        for number in range(1, 21):
            await say(decision_for(frame_on("line10", number)))
            await say(decision_for(frame_on("line1", number)))
        events = await take(feed, 20)
        assert [e.trigger_seq for e in events if isinstance(e, Decision)] == list(range(1, 21))


@pytest.mark.asyncio
async def test_alerts_of_the_line_that_ask_for_a_stop(told: Told) -> None:
    async with told as (feed, say):
        for line, stop in (("line2", True), ("line1", False), ("line1", True)):
            await say(alert_on(line, stop))
        (event,) = await take(feed, 1)
        assert isinstance(event, Alert)
        assert (event.line, event.request_stop) == ("line1", True)


@pytest.mark.asyncio
async def test_answers_to_a_change_of_the_lines_recipe(told: Told) -> None:
    async with told as (feed, say):
        for line in ("line2", "line1"):
            await say(recipe_request(line=line, station="station1"))
        (event,) = await take(feed, 1)
        assert isinstance(event, ChangeoverStep)
        assert event.line == "line1"


@pytest.mark.asyncio
async def test_what_comes_later_is_waited_for(told: Told) -> None:
    async with told as (feed, say):
        taking = asyncio.create_task(take(feed, 1))
        await asyncio.sleep(0)
        decision = decision_for(frame_on("line1"))
        await say(decision)
        assert await taking == [decision]
