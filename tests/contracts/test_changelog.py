"""The contract of ``streams.ports.Changelog``: the twin and the compacted topic keep it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.stack.broker import Broker
from infra.stack.process import free_port
from streams.codes import Action, DecisionSource
from streams.errors import UnavailableError
from streams.events import CountedPart
from streams.ids import new_frame_id
from streams.kafka.changelog import KafkaChangelog
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.ports import Changelog, Publisher
from streams.roles.limits_core import entry_message
from streams.topics import COUNTED
from tests.contracts.twins.changelog import TwinChangelog
from tests.contracts.twins.publisher import TwinPublisher


@asynccontextmanager
async def over_twin() -> AsyncIterator[tuple[Publisher, Changelog, Changelog]]:
    publisher = TwinPublisher()
    yield publisher, TwinChangelog(publisher), TwinChangelog(publisher, down_for=1)


@asynccontextmanager
async def over_kafka(broker: Broker) -> AsyncIterator[tuple[Publisher, Changelog, Changelog]]:
    connection = KafkaConnection(broker.bootstrap_servers)
    await ensure_topics(connection, topics=[COUNTED])
    publisher = KafkaPublisher(connection)
    away = KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=0.5)
    log = lambda *_, **__: None  # noqa: E731
    try:
        yield publisher, KafkaChangelog(connection, log), KafkaChangelog(away, log)
    finally:
        await publisher.stop()


def part(number: int) -> CountedPart:
    return CountedPart(
        line="line-1",
        product_id="tile",
        number=number,
        frame_id=new_frame_id(),
        source=DecisionSource.EXPERT,
        action=Action.PASS,
        decided_at=datetime.now(UTC),
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("real", [False, True], ids=["twin", "kafka"])
async def test_the_newest_part_of_each_slot_of_one_partition(
    real: bool, fresh_broker: Broker
) -> None:
    first, second, third, elsewhere = (part(number) for number in (1, 2, 3, 9))
    async with over_kafka(fresh_broker) if real else over_twin() as (publisher, changelog, _):
        assert list(await changelog.read(0)) == []
        for entry, slot in ((first, 0), (third, 1), (second, 1)):  # the last by a replaced worker
            await publisher.send(COUNTED.name, entry_message(entry, slot, partition=0))
        await publisher.send(COUNTED.name, entry_message(elsewhere, 0, partition=1))
        bad = replace(entry_message(part(10), 0, partition=0), value=b"{")
        await publisher.send(COUNTED.name, bad)
        assert sorted(p.number for p in await changelog.read(0)) == [1, 3]
        assert list(await changelog.read(1)) == [elsewhere]


@pytest.mark.asyncio
@pytest.mark.parametrize("real", [False, True], ids=["twin", "kafka"])
async def test_a_broker_that_is_away_is_said(real: bool, fresh_broker: Broker) -> None:
    async with over_kafka(fresh_broker) if real else over_twin() as (_, __, away):
        with pytest.raises(UnavailableError):
            await away.read(0)
