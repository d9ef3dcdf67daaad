"""Five versions applied under full load: each decision is of the version it names, no pause."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.publish import publish
from policies.source import KafkaPolicySource
from streams.codes import DecisionSource
from streams.events import Decision, Frame
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.roles.classify import ClassifyRole
from streams.roles.decisions import evaluation_of, situation_of
from streams.roles.inspect import InspectRole
from streams.topics import ANOMALIES, DEAD, DECISIONS, FRAMES
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import ODD, frame
from tests.streams.roles.line import Reader, config, producer, reading, running, send_frame
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PARTS, SWITCHES = 2000, 5
PAUSE_MS = 250.0
ROUNDS = 3
"""A pause of the switch is there in every round; one of a busy machine is not."""
IMAGE_BYTES = 4096


def version(number: int) -> ResolvedPolicy:
    """20 classes and 20 rules, of which the last decides; another decision in each version."""
    action = ("scrap", "rework", "hold")[number % 3]
    classes = {f"class-{n}": {"severity": "defect", "action": "hold"} for n in range(19)}
    rules = [
        {"name": f"rule-{n}", "when": f"class == 'crack' && score > {100 + n}", "action": "hold"}
        for n in range(19)
    ]
    last = {"name": f"last-{number}", "when": "score > 1.0 && confidence > 0.5", "action": action}
    crack = {"severity": "negligible" if number % 2 else "defect", "action": "hold"}
    body = {"product": "tile", "classes": classes | {"crack": crack}, "rules": [*rules, last]}
    return ResolvedPolicy(PolicyDocument.model_validate(body))


VERSIONS = [version(number) for number in range(SWITCHES + 1)]


@dataclass
class Run:
    """One burst of parts and what was decided."""

    sent: list[Frame]
    decisions: list[Decision]

    @property
    def longest_gap_ms(self) -> float:
        """Between two consecutive decisions, milliseconds."""
        times = sorted(d.decided_at.timestamp() for d in self.decisions)
        return 1000 * max(b - a for a, b in pairwise(times))

    @property
    def parts_per_s(self) -> float:
        times = [d.decided_at.timestamp() for d in self.decisions]
        return len(times) / (max(times) - min(times))


class Load:
    """Inspect and classify over twins, policies from Kafka, and a reader of all they say."""

    def __init__(self, servers: str, seen: Reader) -> None:
        self.servers = servers
        self.seen = seen

    @property
    def decided(self) -> int:
        """Decisions read so far."""
        return len(self.seen.events[DECISIONS.name])

    async def play(self, switches: Sequence[ResolvedPolicy]) -> Run:
        """All parts as fast as they go; a version whenever another share of them is decided."""
        before = self.decided
        shots = [frame(window_ms=120_000, trigger_seq=n + 1) for n in range(PARTS)]
        images = [(ODD if n % 2 else b"fine").ljust(IMAGE_BYTES, b".") for n in range(PARTS)]
        applying = asyncio.create_task(self._apply(switches, before))
        async with producer(self.servers) as via:
            for start in range(0, PARTS, 200):
                burst = zip(shots[start : start + 200], images[start : start + 200], strict=True)
                await asyncio.gather(*(send_frame(via, shot, image) for shot, image in burst))
        await applying
        await until(lambda: self.decided >= before + PARTS, 120, "all decided")
        found = self.seen.of(DECISIONS)[before:]
        return Run(shots, [d for d in found if isinstance(d, Decision)])

    async def _apply(self, switches: Sequence[ResolvedPolicy], before: int) -> None:
        publisher = KafkaPublisher(KafkaConnection(self.servers))
        try:
            for number, policy in enumerate(switches, start=1):
                due = before + number * PARTS // (len(switches) + 1)
                await until(lambda due=due: self.decided >= due, 120, "a share")  # type: ignore[misc]
                await publish(policy, publisher, "a test", "a switch under load")
        finally:
            await publisher.stop()


@asynccontextmanager
async def load(servers: str, state: Path) -> AsyncIterator[Load]:
    """The first version is in force, and the roles are ready."""
    await ensure_topics(KafkaConnection(servers))
    publisher = KafkaPublisher(KafkaConnection(servers))
    await publish(VERSIONS[0], publisher, "a test", "the first")
    await publisher.stop()
    inspect, classify = (config(role, servers, state) for role in ("inspect", "classify"))
    sources = [KafkaPolicySource(KafkaConnection(servers)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        seen = await stack.enter_async_context(reading(servers, DECISIONS, DEAD))
        for source in sources:
            await source.start()
            stack.push_async_callback(source.stop)
        of_inspect, of_classify = sources
        role = running(
            inspect,
            [FRAMES],
            lambda o: InspectRole(TwinExpert(), of_inspect, o),
        )
        await stack.enter_async_context(role)
        role = running(
            classify,
            [ANOMALIES],
            lambda o: ClassifyRole(TwinClassifier(), of_classify, o),
        )
        await stack.enter_async_context(role)
        yield Load(servers, seen)


def check_nothing_is_lost(run: Run, seen: Reader) -> None:
    assert sorted(d.frame_id for d in run.decisions) == sorted(f.frame_id for f in run.sent)
    assert not seen.of(DEAD)
    sources = {d.source for d in run.decisions}
    assert sources == {DecisionSource.EXPERT, DecisionSource.CLASSIFIER}, "no fallback"


def check_versions(run: Run, expected: Sequence[ResolvedPolicy]) -> None:
    """Judged again from the published body of the version named, each decision is the same."""
    bodies = {policy.policy_hash: policy.body for policy in expected}
    policies = {h: ResolvedPolicy.from_body(body, h) for h, body in bodies.items()}
    for decision in run.decisions:
        situation = situation_of(decision, decision.inspection, decision.classification, None)
        outcome = policies[decision.policy_hash].decide(situation)
        severity, rule = outcome.severity, outcome.rule
        assert (decision.action, decision.severity, decision.rule) == (
            outcome.action,
            severity,
            rule,
        )
        assert (decision.class_name, decision.class_id) == (outcome.class_name, outcome.class_id)
        assert (decision.reason, decision.reason_code) == (outcome.reason, outcome.reason_code)
        assert decision.evaluation is evaluation_of(severity)


def check_order(run: Run, expected: Sequence[ResolvedPolicy]) -> None:
    """Each stage goes from version to version once, and uses every one."""
    order = [policy.policy_hash for policy in expected]
    for source in (DecisionSource.EXPERT, DecisionSource.CLASSIFIER):
        own = sorted((d for d in run.decisions if d.source is source), key=lambda d: d.decided_at)
        named = [order.index(d.policy_hash) for d in own]
        assert named == sorted(named), f"{source.value} went back to an older version"
        if source is DecisionSource.CLASSIFIER:
            assert set(named) == set(range(len(order)))


@pytest.mark.asyncio
async def test_versions_switch_under_load_without_loss_or_pause(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    beyond: list[float] = []
    async with load(fresh_broker.bootstrap_servers, tmp_path) as line:
        in_force = VERSIONS
        for _ in range(ROUNDS):
            plain = await line.play([])
            check_nothing_is_lost(plain, line.seen)
            check_versions(plain, in_force[:1])
            switched = await line.play(in_force[1:])
            check_nothing_is_lost(switched, line.seen)
            check_versions(switched, in_force)
            check_order(switched, in_force)
            beyond.append(switched.longest_gap_ms - plain.longest_gap_ms)
            sys.stderr.write(
                f"\n{plain.parts_per_s:.0f} and {switched.parts_per_s:.0f} parts/s; longest gap "
                f"{plain.longest_gap_ms:.0f} ms without and {switched.longest_gap_ms:.0f} with "
                f"{SWITCHES} switches\n"
            )
            if beyond[-1] <= PAUSE_MS:
                break
            in_force = in_force[::-1]
    assert min(beyond) <= PAUSE_MS, f"paused by {beyond} ms more than without switches"
