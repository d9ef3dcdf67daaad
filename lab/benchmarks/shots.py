"""A station that takes three shots of each part, with lost, late and doubled ones on the way.

The line is the real one but for what a benchmark of the joining need not have: stand-ins judge the
pictures, which say themselves what they show. Gateway, inspect, classify and join run in this
process over the embedded broker and OPC UA; the simulated controller keeps the book.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from andon.settings import KafkaSettings, PathSettings, Settings
from andon.wiring import brokers
from connectors.settings import GatewaySettings, ShotSettings
from infra.stack.broker import start_broker
from infra.stack.process import free_port
from lab.benchmarks.shots_plan import POLICY, SHOTS, SidedPart, expected, faults_of, make_parts
from lab.harness.gateway_here import gateway_here
from lab.harness.roles_here import opened_role, running_roles
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import LedgerEntry, entries_of
from lab.plc.plan import PlannedPart
from lab.plc.play import play
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from streams.envelope import Message, from_message
from streams.events import Classification, Frame, Inspection
from streams.kafka.faust_app import BusConfig
from streams.kafka.topic_admin import ensure_topics
from streams.ports import (
    ClassificationRequest,
    Failure,
    InspectionRequest,
    Picture,
    Policy,
    Publisher,
    Trigger,
)
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig, JoinConfig, RoleConfig, RoleName
from streams.roles.inspect import InspectRole
from streams.roles.join import JoinRole
from streams.roles.results import Results
from streams.roles.runner import RoleRunner, RunningRole
from streams.topics import ANOMALIES, FRAMES, Topic
from streams.topics import SHOTS as VERDICTS


@dataclass(frozen=True)
class ShotsBenchmark:
    """How the run is paced.

    Window and margins are wide: this asks for right answers and not for speed, and must not take a
    machine that stands still for a second for a wrong decision.
    """

    parts: int = 500
    takt_s: float = 0.15
    window_s: float = 8.0
    seed: int = 16

    @property
    def fallback_margin_s(self) -> float:
        """Before the window's end a shot that is still being judged takes its fallback."""
        return 0.5 * self.window_s

    @property
    def join_margin_s(self) -> float:
        """Before the window's end a part is decided without its missing shots."""
        return 0.3 * self.window_s

    @property
    def watchdog_margin_s(self) -> float:
        """Before the window's end the gateway decides by itself."""
        return 0.1 * self.window_s

    @property
    def late_s(self) -> float:
        """After how long a delayed frame comes, and a slow judge answers."""
        return self.window_s + 0.5


class StandInJudge:
    """Expert and classifier in one: a picture says what it shows, and whether to be slow."""

    def __init__(self, late_s: float) -> None:
        self._late_s = late_s

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        return version or "stand-in"

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        return [await self._inspected(request) for request in requests]

    async def _inspected(self, request: InspectionRequest) -> Inspection:
        told = json.loads(request.image)
        odd = told["shows"] != "good"
        if told["slow"] and not odd:
            await asyncio.sleep(self._late_s)
        score = 2.0 if odd else 0.5
        version = "stand-in"
        return Inspection(
            score=score, threshold=1.0, p_value=0.1, anomalous=odd, expert_version=version
        )

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        return [await self._classified(request) for request in requests]

    async def _classified(self, request: ClassificationRequest) -> Classification:
        told = json.loads(request.image)
        if told["slow"]:
            await asyncio.sleep(self._late_s)
        return Classification(class_name=told["shows"], confidence=0.9, classifier="stand-in")


@dataclass
class PlannedCamera:
    """The camera of one side: the picture of a trigger is that of the plan."""

    parts: Sequence[SidedPart]
    side: int

    async def open(self) -> None: ...
    async def capture(self, trigger: Trigger) -> Picture:
        shot = self.parts[trigger.trigger_seq - 1].shots[self.side]
        return Picture(shot.picture, "application/json", SHOTS[self.side])

    async def close(self) -> None: ...


@dataclass
class FaultyNetwork:
    """A publisher that loses, delays and doubles the frames that the plan names."""

    inner: Publisher
    parts: Sequence[SidedPart]
    delay_s: float
    late: set[asyncio.Task[None]] = field(default_factory=set)

    async def send(self, topic: str, message: Message) -> None:
        fault = ""
        if topic == FRAMES.name:
            frame = from_message(Frame, message.value, message.headers)
            fault = self.parts[frame.trigger_seq - 1].shots[frame.shot - 1].fault
        if fault == "lost":
            return
        if fault == "delayed":
            task = asyncio.create_task(self._later(topic, message))
            self.late.add(task)
            task.add_done_callback(self.late.discard)
            return
        await self.inner.send(topic, message)
        if fault == "doubled":
            await self.inner.send(topic, message)

    async def _later(self, topic: str, message: Message) -> None:
        await asyncio.sleep(self.delay_s)
        await self.inner.send(topic, message)


@dataclass(frozen=True)
class OnePolicy:
    """``streams.ports.PolicySource`` of one product."""

    policy: Policy

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def for_product(self, product_id: str) -> Policy:
        return self.policy

    def versions(self) -> Mapping[str, str]:
        return {self.policy.product_id: self.policy.policy_hash}

    def tell(self, on_down: Callable[[bool], None]) -> None: ...


def benchmark_shots(
    options: ShotsBenchmark, folder: Path, on_part: Callable[[int], None] = lambda _: None
) -> dict[str, object]:
    """Play the plan and hold each part's one result against the evaluator's.

    Args:
        folder: where journal, spool and Faust's data go; the broker keeps its own in memory.
        on_part: told how many parts were triggered.
    """
    parts = make_parts(options.parts, options.seed)
    begun = time.monotonic()
    with start_broker() as broker:
        plc = asyncio.run(_played(options, parts, broker.bootstrap_servers, folder, on_part))
    figures = judged(parts, entries_of(plc.ledger.rows))
    return {**figures, "seconds": round(time.monotonic() - begun, 1)}


def judged(parts: Sequence[SidedPart], book: Sequence[LedgerEntry]) -> dict[str, object]:
    """The controller's book against the evaluator: pure."""
    entries = {entry.part_id: entry for entry in book}
    wrong = []
    for part in parts:
        entry = entries.get(part.part_id)
        results = 0 if entry is None else len(entry.results)
        said = "nothing" if entry is None else f"{entry.action} by {entry.source}"
        right = entry is not None and entry.action == expected(part) and not entry.wrong_part
        if results != 1 or not right:
            told = ", ".join(f"{s.shows} {s.fault}".strip() for s in part.shots)
            wrong.append(f"{part.part_id} ({told}): {results} results, {said}")
    return {
        "parts": len(parts),
        "shots": sum(len(part.shots) for part in parts),
        "faults": faults_of(parts),
        "one_result": sum(len(entry.results) == 1 for entry in book),
        "right": len(parts) - len(wrong),
        "by_source": dict(Counter(entry.source for entry in book)),
        "by_action": dict(Counter(entry.action for entry in book)),
        "wrong": wrong[:20],
    }


async def _played(
    options: ShotsBenchmark,
    parts: Sequence[SidedPart],
    servers: str,
    folder: Path,
    on_part: Callable[[int], None],
) -> SimulatedPlc:
    settings = _settings(options, servers, folder)
    connection = brokers.kafka_connection(settings)
    await ensure_topics(connection)
    config = PlcConfig(
        settings.gateway.plc_url, options.takt_s, options.window_s, heartbeat_missed=20
    )
    plc = SimulatedPlc(config)
    judge = StandInJudge(options.late_s)
    policies = OnePolicy(ResolvedPolicy(PolicyDocument.model_validate(POLICY)))
    makers: dict[RoleName, tuple[Topic, Callable[[Results], RunningRole]]] = {
        "inspect": (FRAMES, lambda results: InspectRole(judge, policies, results)),
        "classify": (ANOMALIES, lambda results: ClassifyRole(judge, policies, results)),
        "join": (
            VERDICTS,
            lambda results: JoinRole(policies, results, JoinConfig(options.join_margin_s)),
        ),
    }
    plan = [PlannedPart(part_id=p.part_id, product_id="sides") for p in parts]
    async with AsyncExitStack() as stack:
        await plc.start()
        stack.push_async_callback(plc.stop)
        flow = FlowConfig(concurrency=256, batch=1, margin_s=options.fallback_margin_s)
        bus = BusConfig(connection, folder / "state")
        runners = [
            RoleRunner(
                RoleConfig(name, bus, flow), [topic], opened_role(make), lambda *_, **__: None
            )
            for name, (topic, make) in makers.items()
        ]
        await stack.enter_async_context(running_roles(runners))
        await stack.enter_async_context(_gateway(settings, parts, policies, options.late_s))
        await play(plc, plan, takt_s=options.takt_s, ready_wait_s=10.0, on_part=on_part)
    return plc


def _settings(options: ShotsBenchmark, servers: str, folder: Path) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=servers),
        paths=PathSettings(state=folder / "state"),
        gateway=GatewaySettings(
            plc_url=f"opc.tcp://127.0.0.1:{free_port()}",
            shots=tuple(ShotSettings(name=name) for name in SHOTS),
            result_window_ms=round(options.window_s * 1000),
            watchdog_margin_ms=round(options.watchdog_margin_s * 1000),
            heartbeat_missed=20,
            journal_dir=folder / "journal",
            spool_dir=folder / "spool",
            is_simulated=True,
        ),
    )


@asynccontextmanager
async def _gateway(
    settings: Settings, parts: Sequence[SidedPart], policies: OnePolicy, delay_s: float
) -> AsyncIterator[None]:
    """The gateway over a faulty network, from following the decisions to stopped."""
    cameras = [PlannedCamera(parts, side) for side in range(len(SHOTS))]
    async with brokers.publisher(settings) as producer:
        network = FaultyNetwork(producer, parts, delay_s)
        try:
            async with gateway_here(settings, network, policies, cameras):
                yield
        finally:
            await asyncio.gather(*network.late, return_exceptions=True)
