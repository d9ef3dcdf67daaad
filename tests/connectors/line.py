"""A line to test the gateway on: the simulated controller over OPC UA, Kafka in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from connectors.cameras import SyntheticCamera
from connectors.gateway.adapters import GatewayPorts
from connectors.gateway.core import Gateway
from connectors.gateway.journal import Journal
from connectors.gateway.ownership import OwnedLink
from connectors.gateway.part_events import part_of
from connectors.gateway.spool import Spool
from connectors.gateway.spooling_publisher import SpoolingPublisher
from connectors.handshake.signals import Signal
from connectors.handshake.state import State
from connectors.handshake.values import Command
from connectors.line_link import LineLink
from connectors.opcua.link import OpcUaLink
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.opcua_server import NodeLayout
from streams.changeovers import ChangeoverPhase, ChangeoverStep
from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    FaultCode,
    ReasonCode,
    Severity,
    Stage,
)
from streams.envelope import Message, from_message
from streams.events import Acknowledgement, Decision, Frame, ShotSummary, decision_id
from streams.ids import new_frame_id
from streams.ports import Camera, Outcome, Situation
from streams.topics import ACKS, CHANGEOVERS, DECISIONS, FRAMES
from tests.contracts.twins.decision_feed import InMemoryDecisionFeed
from tests.contracts.twins.policies import TwinPolicies, TwinPolicy
from tests.contracts.twins.publisher import TwinPublisher


class MemoryBus(TwinPublisher):
    """Kafka of one line: what is sent can be read back, and the feed hears its decisions.

    ``answer`` plays the workers: it decides a frame that was sent; ``stage`` answers requests for
    a recipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Frame], Awaitable[Decision | None]] | None = None
        self.stage: Callable[[ChangeoverStep], ChangeoverStep | None] = has_recipe
        self.feed = InMemoryDecisionFeed()
        self._tasks: set[asyncio.Task[None]] = set()

    def lose(self) -> None:
        self.down_for = 1 << 30

    def regain(self) -> None:
        self.down_for = 0

    async def send(self, topic: str, message: Message) -> None:
        await super().send(topic, message)
        if topic == DECISIONS.name:
            self.feed.tell(from_message(Decision, message.value, message.headers))
        if topic == CHANGEOVERS.name:
            step = from_message(ChangeoverStep, message.value, message.headers)
            if step.phase is ChangeoverPhase.REQUESTED and (said := self.stage(step)) is not None:
                self.feed.tell(said)
        if topic == FRAMES.name and self.answer is not None:
            frame = from_message(Frame, message.value, message.headers)
            task = asyncio.create_task(self._answer(frame, self.answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, frame: Frame, answer: Callable[[Frame], Awaitable]) -> None:
        decision = await answer(frame)
        if decision is not None:
            self.feed.tell(decision)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def changeovers(self) -> list[ChangeoverStep]:
        """What the gateway said of changes of the recipe."""
        return [event for event, _ in self.of(CHANGEOVERS.name)]

    @property
    def frames(self) -> list[Frame]:
        return [event for event, _ in self.of(FRAMES.name)]

    @property
    def decisions(self) -> list[Decision]:
        return [event for event, _ in self.of(DECISIONS.name)]

    @property
    def acks(self) -> list[Acknowledgement]:
        return [event for event, _ in self.of(ACKS.name)]


def has_recipe(step: ChangeoverStep, code: FaultCode = FaultCode.NONE) -> ChangeoverStep:
    """What inspect would answer: it has the recipe, or not for this reason."""
    phase = ChangeoverPhase.REFUSED if code else ChangeoverPhase.PREPARED
    changes = {"stage": Stage.INSPECT, "phase": phase, "fault_code": code, "reason": code.name}
    return step.model_copy(update=changes)


class ReworkPolicy(TwinPolicy):
    """Every fallback is reworked, so that it differs from the holds of the handshake."""

    def decide(self, situation: Situation) -> Outcome:
        assert situation.fallback is not None
        return Outcome(Action.REWORK, Severity.UNKNOWN, reason=f"fallback {situation.fallback}")


def frame_on(line: str, seq: int = 1, **changes: object) -> Frame:
    """A frame of three bytes, captured now."""
    now = datetime.now(UTC)
    fields = {
        "frame_id": new_frame_id(),
        "line": line,
        "station": "station1",
        "product_id": "demo",
        "part_id": f"part-{seq}",
        "plc_boot_id": 1,
        "trigger_seq": seq,
        "captured_at": now,
        "deadline": now,
        "result_window_ms": 1000,
        "size_bytes": 3,
        "sha256": "0",
    }
    return Frame.model_validate(fields | changes)


def decision_for(
    frame: Frame, source: DecisionSource = DecisionSource.EXPERT, action: Action = Action.PASS
) -> Decision:
    """What inspect would answer."""
    return Decision(
        **dict(part_of(frame)),
        result_id=decision_id(frame.frame_id, source),
        source=source,
        evaluation=Evaluation.OK,
        severity=Severity.NORMAL,
        action=action,
        reason_code=ReasonCode.NORMAL,
        decided_at=frame.captured_at,
    )


def joined_for(frame: Frame, action: Action = Action.PASS) -> Decision:
    """What the role join would answer for the part of a frame."""
    summary = ShotSummary(
        shot=1,
        source=DecisionSource.EXPERT,
        severity=Severity.NORMAL,
        action=action,
        reason_code=ReasonCode.NORMAL,
    )
    whole = {"frame_id": frame.part_identity, "shot": 1, "result_id": new_frame_id()}
    shots = (summary,) * frame.shots_expected
    return decision_for(frame, action=action).model_copy(update={**whole, "shots": shots})


async def at_once(frame: Frame) -> Decision:
    return decision_for(frame)


@dataclass
class Line:
    """A simulated controller, and a gateway that can be killed and started again."""

    folder: Path
    plc: SimulatedPlc
    bus: MemoryBus = field(default_factory=MemoryBus)
    camera: Camera = field(default_factory=lambda: SyntheticCamera(size=32))
    cameras: Sequence[Camera] = ()
    """One for each shot, where the settings have several."""
    config: GatewaySettings = field(default_factory=GatewaySettings)
    owned: bool = False
    """Whether the gateway minds that another one may be in charge of the controller."""
    on_step: Callable[[State, State, Sequence[Command]], None] = lambda *_: None
    by: Callable[[LineLink], LineLink] = lambda link: link
    """What stands between the gateway and the wire."""
    gateway: Gateway | None = None
    _task: asyncio.Task | None = None

    async def start_gateway(self, ready: bool = True) -> Gateway:
        spool = Spool(self.folder / "spool", 1 << 24)
        spool.open()
        settings = self.config.model_copy(
            update={"plc_url": self.plc.config.url, "is_simulated": True}
        )
        policies = TwinPolicies()
        policies.put(ReworkPolicy("demo"))
        policies.put(TwinPolicy("board"))
        link = self.by(OpcUaLink(settings))
        owner = OwnedLink(link, settings, self.folder / "line.owner", settings.standby)
        ports = GatewayPorts(
            link=owner if self.owned else link,
            cameras=self.cameras or [self.camera],
            journal=Journal(self.folder / "line.journal"),
            publisher=SpoolingPublisher(self.bus, spool, timeout_s=1.0, in_flight_bytes=1 << 24),
            feed=self.bus.feed,
            policies=policies,
            in_charge=(lambda: owner.in_charge) if self.owned else (lambda: True),
            on_step=self.on_step,
        )
        self.gateway = Gateway(settings, ports)
        self._task = asyncio.create_task(self.gateway.run())
        if ready:
            assert await self.plc.wait_for(lambda: self.plc.ready, 10), "gateway never ready"
        return self.gateway

    async def reset_faults(self) -> None:
        """The operator resets: the controller counts it."""
        count = self.plc.gateway(Signal.FAULT_RESET_SEQ)
        await self.plc.put({Signal.FAULT_RESET_SEQ: count + 1})

    async def stop_gateway(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def running_line(
    folder: Path,
    plc_config: PlcConfig | None = None,
    layout: NodeLayout | None = None,
    **options,
):
    """A line whose gateway is started; everything is put down at the end."""
    config = plc_config or PlcConfig(takt_s=1.0)
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    plc = SimulatedPlc(PlcConfig(**{**vars(config), "url": url}), layout=layout)
    await plc.start()
    line = Line(folder, plc, **options)
    try:
        yield line
    finally:
        await line.stop_gateway()
        await line.bus.close()
        await plc.stop()
