"""What only a source over Kafka must do: begin without it, outlive it, trust no message."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from infra.stack.broker import Broker, start_broker
from policies.disk_cache import DiskCache
from policies.publish import publish
from policies.source import KafkaPolicySource
from streams.codes import Action
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.topics import POLICIES
from tests.contracts.test_policy_source import KafkaBench, action_of, policy, until


@pytest.mark.asyncio
async def test_an_empty_broker_starts_at_once(fresh_broker: Broker) -> None:
    source = KafkaBench(fresh_broker.bootstrap_servers).source()
    await source.start()
    try:
        assert action_of(source, "first") is Action.HOLD
        await KafkaBench(fresh_broker.bootstrap_servers).apply("first", "scrap")
        await until(lambda: action_of(source, "first") is Action.SCRAP)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_damaged_and_tampered_messages_change_nothing(
    fresh_broker: Broker,
) -> None:
    servers = fresh_broker.bootstrap_servers
    await KafkaBench(servers).apply("solid", "scrap")
    publisher = KafkaPublisher(KafkaConnection(servers))
    await publisher.send(POLICIES.name, Message(b"solid", b"{no json", ()))
    event = await publish(policy("solid", "scrap"), publisher, "t", "again")
    body = event.model_copy(update={"body": {**event.body, "audit_share": 1.0}})
    await publisher.send(POLICIES.name, Message(b"solid", body.model_dump_json().encode(), ()))
    await publisher.stop()
    source = KafkaBench(servers).source()
    await source.start()
    try:
        assert action_of(source, "solid") is Action.SCRAP
        assert source.for_product("solid").audit_share == 0.0
        await publisher.send(POLICIES.name, Message(b"solid", b"", ()))
        await publisher.stop()
        await until(lambda: action_of(source, "solid") is Action.HOLD)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_starts_from_disk_without_the_broker_and_catches_up(tmp_path: Path) -> None:
    broker = start_broker()
    await KafkaBench(broker.bootstrap_servers).apply("cached", "scrap")
    connection = KafkaConnection(broker.bootstrap_servers, fetch_max_wait_ms=20)
    first = KafkaPolicySource(connection, tmp_path / "cache")
    await first.start()
    await first.stop()
    broker.kill()
    second = KafkaPolicySource(connection, tmp_path / "cache", start_timeout_s=0.5)
    await second.start()
    try:
        assert action_of(second, "cached") is Action.SCRAP
        again = start_broker(port=broker.port)
        try:
            await KafkaBench(again.bootstrap_servers).apply("cached", "rework")
            await until(lambda: action_of(second, "cached") is Action.REWORK, 20)
        finally:
            again.kill()  # the follower meets the end of its broker once more
    finally:
        await second.stop()


@pytest.mark.asyncio
async def test_without_broker_and_cache_the_start_fails_and_says_so() -> None:
    source = KafkaPolicySource(KafkaConnection("127.0.0.1:1"), start_timeout_s=0.3)
    with pytest.raises(UnavailableError, match="start the broker"):
        await source.start()


@pytest.mark.asyncio
async def test_a_cancelled_future_of_the_library_does_not_end_the_following(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = KafkaBench(broker.bootstrap_servers)
    await bench.apply("leaked", "rework")
    source = bench.source()
    await source.start()
    getmany = AIOKafkaConsumer.getmany
    leaks = [True]

    async def leaking(consumer: AIOKafkaConsumer, *args: object, **words: object) -> object:
        if leaks:
            leaks.clear()
            raise asyncio.CancelledError
        return await getmany(consumer, *args, **words)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", leaking)
    try:
        await until(lambda: not leaks)
        await bench.apply("leaked", "scrap")
        await until(lambda: action_of(source, "leaked") is Action.SCRAP)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_a_follower_that_dies_is_said_and_begun_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = KafkaBench(broker.bootstrap_servers)
    await bench.apply("died", "rework")
    source = bench.source()
    said: list[bool] = []
    source.tell(said.append)
    await source.start()
    getmany = AIOKafkaConsumer.getmany
    dying = [True]

    async def dies(consumer: AIOKafkaConsumer, *args: object, **words: object) -> object:
        if dying:
            dying.clear()
            raise RuntimeError("a defect of the library")
        return await getmany(consumer, *args, **words)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", dies)
    try:
        await until(lambda: True in said)
        await bench.apply("died", "scrap")
        await until(lambda: action_of(source, "died") is Action.SCRAP)
        await until(lambda: said[-1] is False)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_brackets_and_bodies_that_are_no_policy_leave_the_one_before(
    fresh_broker: Broker,
) -> None:
    servers = fresh_broker.bootstrap_servers
    await KafkaBench(servers).apply("solid", "scrap")
    publisher = KafkaPublisher(KafkaConnection(servers))
    source = KafkaBench(servers).source()
    said: list[bool] = []
    source.tell(said.append)
    await source.start()
    try:
        await publisher.send(POLICIES.name, Message(b"solid", b"[" * 200_000, ()))
        await publisher.send(POLICIES.name, Message(b"solid", b"", ()))
        await until(lambda: action_of(source, "solid") is Action.HOLD)
        assert True not in said
    finally:
        await publisher.stop()
        await source.stop()


@pytest.mark.asyncio
async def test_a_disk_that_was_full_gets_the_copy_later(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.source._DISK_RETRY_S", 0.01)
    folder = tmp_path / "cache"
    folder.write_text("no folder can be made here")
    await KafkaBench(broker.bootstrap_servers).apply("late-copy", "scrap")
    connection = KafkaConnection(broker.bootstrap_servers, fetch_max_wait_ms=20)
    source = KafkaPolicySource(connection, folder)
    await source.start()
    try:
        assert action_of(source, "late-copy") is Action.SCRAP
        folder.unlink()
        await until(lambda: any(p.product_id == "late-copy" for p in DiskCache(folder).read()))
    finally:
        await source.stop()


@pytest.mark.parametrize("text", ["", "[", "[" * 200_000, "[]", "null", '{"a": 1}', '{"a": {}}'])
def test_a_damaged_copy_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "policies.json").write_text(text)
    assert DiskCache(tmp_path).read() == []
