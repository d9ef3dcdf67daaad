"""The contract of ``streams.ports.PolicySource``: the twin and the compacted topic keep it."""

from typing import Protocol

import pytest

from infra.stack.broker import Broker
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.publish import publish
from policies.source import KafkaPolicySource
from streams.codes import Action, ReasonCode
from streams.events import Classification
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.ports import PolicySource, Situation
from tests.contracts.twins.policies import TwinPolicies
from tests.waiting import until

CRACK = Situation(classification=Classification(class_name="crack", confidence=1, classifier="t"))


def policy(product: str, action: str) -> ResolvedPolicy:
    classes = {"crack": {"severity": "defect", "action": action}}
    return ResolvedPolicy(PolicyDocument.model_validate({"product": product, "classes": classes}))


class Bench(Protocol):
    """A source, and the way to put a policy in force behind it."""

    def source(self) -> PolicySource: ...
    async def apply(self, product: str, action: str) -> None: ...


class TwinBench:
    def __init__(self) -> None:
        self.twin = TwinPolicies()

    def source(self) -> PolicySource:
        return self.twin

    async def apply(self, product: str, action: str) -> None:
        self.twin.put(policy(product, action))


class KafkaBench:
    def __init__(self, servers: str) -> None:
        self.connection = KafkaConnection(servers, fetch_max_wait_ms=20)

    def source(self) -> PolicySource:
        return KafkaPolicySource(self.connection)

    async def apply(self, product: str, action: str) -> None:
        publisher = KafkaPublisher(self.connection)
        await publish(policy(product, action), publisher, "tester", "a test")
        await publisher.stop()


@pytest.fixture(params=["twin", "kafka"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "twin":
        return TwinBench()
    broker: Broker = request.getfixturevalue("broker")
    return KafkaBench(broker.bootstrap_servers)


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
