"""One contract for both sources of policies, and what only Kafka's must do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from infra.stack.broker import Broker, start_broker
from policies.authoring.loading import load_policy
from policies.publish import publish
from policies.source import FilePolicySource, KafkaPolicySource
from streams.codes import Action, ReasonCode
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.events import Classification
from streams.ports import PolicySource, Situation
from streams.topics import POLICIES

CRACK = Situation(classification=Classification(class_name="crack", confidence=1, classifier="t"))


def policy_text(product: str, action: str) -> str:
    return (
        f"policy: 1\nproduct: {product}\nclasses:\n"
        f"  crack: {{severity: defect, action: {action}}}\n"
    )


class Bench(Protocol):
    def source(self) -> PolicySource: ...
    async def apply(self, product: str, action: str) -> None: ...


class FileBench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def source(self) -> PolicySource:
        return FilePolicySource(self.folder, poll_s=0.01)

    async def apply(self, product: str, action: str) -> None:
        draft = self.folder / f"{product}.draft"
        draft.write_text(policy_text(product, action))
        draft.replace(self.folder / f"{product}.yaml")


class PlainPublisher:
    """The smallest ``Publisher``; the real one lives in ``connectors``."""

    def __init__(self, servers: str) -> None:
        self.servers = servers

    async def send(self, topic: str, message: Message) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.servers)
        await producer.start()
        try:
            await producer.send_and_wait(
                topic, message.value, key=message.key, headers=list(message.headers)
            )
        finally:
            await producer.stop()


class KafkaBench:
    def __init__(self, servers: str, folder: Path) -> None:
        self.servers, self.folder = servers, folder

    def source(self) -> PolicySource:
        return KafkaPolicySource(self.servers, poll_ms=20)

    async def apply(self, product: str, action: str) -> None:
        path = self.folder / f"{product}.yaml"
        path.write_text(policy_text(product, action))
        await publish(load_policy(path), PlainPublisher(self.servers), "tester", "a test")


@pytest_asyncio.fixture(params=["file", "kafka"])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, broker: Broker
) -> AsyncIterator[Bench]:
    if request.param == "file":
        yield FileBench(tmp_path)
    else:
        yield KafkaBench(broker.bootstrap_servers, tmp_path)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the state was not reached in time"
        await asyncio.sleep(0.01)


def action_of(source: PolicySource, product: str) -> Action:
    return source.for_product(product).decide(CRACK).action


@pytest.mark.asyncio
async def test_reads_what_is_in_force_before_start_returns(bench: Bench) -> None:
    await bench.apply("before-start", "rework")
    await bench.apply("before-start", "scrap")  # the last of several versions wins
    source = bench.source()
    await source.start()
    try:
        assert action_of(source, "before-start") is Action.SCRAP
        assert source.for_product("before-start").product_id == "before-start"
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_follows_what_is_applied_later(bench: Bench) -> None:
    await bench.apply("followed", "rework")
    source = bench.source()
    await source.start()
    try:
        held = source.for_product("followed")
        await bench.apply("followed", "scrap")
        await until(lambda: action_of(source, "followed") is Action.SCRAP)
        assert held.decide(CRACK).action is Action.REWORK, "a part in hand keeps its version"
        assert held.policy_hash != source.for_product("followed").policy_hash
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_a_product_without_a_policy_is_held(bench: Bench) -> None:
    source = bench.source()
    await source.start()
    try:
        outcome = source.for_product("never-heard-of").decide(CRACK)
        assert (outcome.action, outcome.reason_code) == (Action.HOLD, ReasonCode.UNKNOWN_PRODUCT)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_stop_twice_and_start_again(bench: Bench) -> None:
    await bench.apply("again", "scrap")
    source = bench.source()
    await source.start()
    await source.stop()
    await source.stop()
    await source.start()
    assert action_of(source, "again") is Action.SCRAP
    await source.stop()


@pytest.mark.asyncio
async def test_an_empty_broker_starts_at_once(fresh_broker: Broker, tmp_path: Path) -> None:
    source = KafkaPolicySource(fresh_broker.bootstrap_servers, poll_ms=20)
    await source.start()
    try:
        assert action_of(source, "first") is Action.HOLD
        await KafkaBench(fresh_broker.bootstrap_servers, tmp_path).apply("first", "scrap")
        await until(lambda: action_of(source, "first") is Action.SCRAP)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_damaged_and_tampered_messages_change_nothing(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    servers = fresh_broker.bootstrap_servers
    await KafkaBench(servers, tmp_path).apply("solid", "scrap")
    publisher = PlainPublisher(servers)
    await publisher.send(POLICIES.name, Message(b"solid", b"{no json", ()))
    event = await publish(load_policy(tmp_path / "solid.yaml"), publisher, "t", "again")
    body = event.model_copy(update={"body": {**event.body, "audit_share": 1.0}})
    await publisher.send(POLICIES.name, Message(b"solid", body.model_dump_json().encode(), ()))
    source = KafkaPolicySource(servers, poll_ms=20)
    await source.start()
    try:
        assert action_of(source, "solid") is Action.SCRAP
        assert source.for_product("solid").audit_share == 0.0
        await publisher.send(POLICIES.name, Message(b"solid", b"", ()))
        await until(lambda: action_of(source, "solid") is Action.HOLD)
    finally:
        await source.stop()


@pytest.mark.asyncio
async def test_starts_from_disk_without_the_broker_and_catches_up(tmp_path: Path) -> None:
    broker = start_broker()
    await KafkaBench(broker.bootstrap_servers, tmp_path).apply("cached", "scrap")
    first = KafkaPolicySource(broker.bootstrap_servers, tmp_path / "cache", poll_ms=20)
    await first.start()
    await first.stop()
    broker.kill()
    second = KafkaPolicySource(
        broker.bootstrap_servers, tmp_path / "cache", start_timeout_s=0.5, poll_ms=20
    )
    await second.start()
    try:
        assert action_of(second, "cached") is Action.SCRAP
        again = start_broker(port=broker.port)
        try:
            await KafkaBench(again.bootstrap_servers, tmp_path).apply("cached", "rework")
            await until(lambda: action_of(second, "cached") is Action.REWORK, 20)
        finally:
            again.kill()  # the follower meets the end of its broker once more
    finally:
        await second.stop()


@pytest.mark.asyncio
async def test_without_broker_and_cache_the_start_fails_and_says_so() -> None:
    source = KafkaPolicySource("127.0.0.1:1", start_timeout_s=0.3)
    with pytest.raises(UnavailableError, match="start the broker"):
        await source.start()


@pytest.mark.asyncio
async def test_a_cancelled_future_of_the_library_does_not_end_the_following(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = KafkaBench(broker.bootstrap_servers, tmp_path)
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
