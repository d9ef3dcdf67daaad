"""Topics are created once, with their partitions, and a broker that is away is waited for."""

import asyncio
import itertools

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.stack.broker import Broker, start_broker
from infra.stack.process import free_port
from streams.errors import UnavailableError
from streams.kafka import topic_admin
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import await_topics, ensure_topics
from streams.topics import ALL, Wanted


async def partitions(servers: str) -> dict[str, int]:
    """How many each topic of the line has at the broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        described = await admin.describe_topics([topic.name for topic in ALL])
    finally:
        await admin.close()
    return {each["topic"]: len(each["partitions"]) for each in described}


@pytest.mark.asyncio
async def test_created_once_with_their_partitions(fresh_broker: Broker) -> None:
    servers = fresh_broker.bootstrap_servers
    assert set(await ensure_topics(KafkaConnection(servers))) == {topic.name for topic in ALL}
    assert await ensure_topics(KafkaConnection(servers)) == ()
    assert await partitions(servers) == {topic.name: topic.partitions for topic in ALL}


@pytest.mark.asyncio
async def test_a_line_of_its_own_needs_one_partition(fresh_broker: Broker) -> None:
    servers = fresh_broker.bootstrap_servers
    await ensure_topics(KafkaConnection(servers), Wanted(partitions=1))
    assert set((await partitions(servers)).values()) == {1}


@pytest.mark.asyncio
async def test_no_broker_is_said() -> None:
    with pytest.raises(UnavailableError, match=r"Kafka at 127\.0\.0\.1"):
        await ensure_topics(KafkaConnection(f"127.0.0.1:{free_port()}", request_timeout_s=1.0))


@pytest.mark.asyncio
async def test_a_worker_waits_for_the_broker() -> None:
    port, said = free_port(), asyncio.Event()
    stop = asyncio.Event()
    servers = f"127.0.0.1:{port}"
    waiting = asyncio.create_task(
        await_topics(KafkaConnection(servers), Wanted(), stop, lambda *a, **k: said.set())
    )
    await asyncio.wait_for(said.wait(), 10)
    broker = await asyncio.to_thread(start_broker, port)
    try:
        assert await asyncio.wait_for(waiting, 20)
    finally:
        broker.stop()


@pytest.mark.asyncio
async def test_a_worker_says_once_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, said, stop = itertools.count(1), list[str](), asyncio.Event()

    async def away(*_: object) -> tuple[str, ...]:
        if next(tries) == 5:
            stop.set()
        raise UnavailableError("no broker")

    monkeypatch.setattr(topic_admin, "ensure_topics", away)
    monkeypatch.setattr(topic_admin, "backoff_s", lambda *_: 0.0)
    where = KafkaConnection("127.0.0.1:1")
    assert not await await_topics(where, Wanted(), stop, lambda event, **_: said.append(event))
    assert (next(tries), said) == (6, ["waiting for the broker"])


@pytest.mark.asyncio
async def test_waiting_ends_when_stopped() -> None:
    stop = asyncio.Event()
    servers = f"127.0.0.1:{free_port()}"
    assert not await asyncio.wait_for(
        await_topics(KafkaConnection(servers), Wanted(), stop, lambda *a, **k: stop.set()), 20
    )
