"""A backlog, and a piece of the logs again, in the order of the records' times."""

import asyncio
from collections.abc import Callable

import pytest

from infra.stack.broker import Broker
from infra.stack.process import free_port
from streams.errors import UnavailableError
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, END, PartitionReader
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, COUNTED, DECISIONS
from tests.streams.kafka.test_reader import TOPICS, connection, following, publishing


async def interleaved(send: Callable[..., asyncio.Task[None]], count: int) -> list[bytes]:
    """Decisions and alerts in turn, each at a time of its own, and the other partitions empty."""
    for number in range(count):
        for topic in (DECISIONS, ALERTS):
            await send(topic, b"%d %s" % (number, topic.name.encode()))
            await asyncio.sleep(0.002)  # record times have a resolution of a millisecond
    return [b"%d %s" % (n, t.name.encode()) for n in range(count) for t in (DECISIONS, ALERTS)]


@pytest.mark.asyncio
async def test_a_backlog_is_given_in_the_order_of_its_times(fresh_broker: Broker) -> None:
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    since = dict.fromkeys((DECISIONS.name, ALERTS.name), BEGINNING)
    async with publishing(fresh_broker) as send:
        wanted = await interleaved(send, 80)
        await send(COUNTED, b"of no topic that is read")
        reader = PartitionReader(connection(fresh_broker), since, in_order=True)
        async with following(reader) as found:
            await asyncio.wait_for(reader.caught_up.wait(), 20)
            assert found.values == wanted
            await send(DECISIONS, *[b"batch %d" % n for n in range(70)])
            await found.until(*wanted, *[b"batch %d" % n for n in range(70)])
        again = PartitionReader(connection(fresh_broker), since, in_order=True)
        async with following(again) as found:
            await found.until(*wanted, *[b"batch %d" % n for n in range(70)])
            assert found.values[: len(wanted)] == wanted
            assert set(again.began.values()) == {0}


@pytest.mark.asyncio
async def test_a_piece_is_read_again_in_the_order_of_its_times(fresh_broker: Broker) -> None:
    await ensure_topics(connection(fresh_broker), topics=TOPICS)
    async with publishing(fresh_broker) as send:
        wanted = await interleaved(send, 40)
    reader = PartitionReader(connection(fresh_broker), {DECISIONS.name: END, ALERTS.name: END})
    decisions, alerts = (DECISIONS.name, 0), (ALERTS.name, 0)

    async def piece(begins: dict[tuple[str, int], int], ends: dict[tuple[str, int], int]) -> object:
        return [r.value async for records in reader.between(begins, ends) for r in records]

    assert await piece({decisions: 10, alerts: 10}, {decisions: 30, alerts: 30}) == wanted[20:60]
    assert await piece({alerts: 38}, {decisions: 1, alerts: 40}) == [wanted[0], *wanted[77::2]]
    assert await piece({decisions: 40}, {decisions: 40}) == []
    assert await piece({}, {}) == []


@pytest.mark.asyncio
async def test_a_piece_without_a_broker_fails_in_time() -> None:
    away = KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=0.5)
    with pytest.raises(UnavailableError, match=r"andon\.counted at 127"):
        async for _ in PartitionReader(away, {COUNTED.name: END}).between({}, {("x", 0): 1}):
            pass
