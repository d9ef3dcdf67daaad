"""The gateway in charge dies at each step of a part's way, and the stand-by takes over."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.state import State
from connectors.handshake.values import Command, Phase, TriggerAge
from connectors.line_link import LineLink, LinkEvent
from connectors.settings import GatewaySettings, ShotSettings
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart
from streams.envelope import Message, from_message
from streams.events import Acknowledgement, Decision, Frame
from streams.ports import Picture, Trigger
from streams.topics import ACKS, FRAMES
from tests.connectors.line import Line, MemoryBus, decision_for, joined_for
from tests.contracts.twins.camera import InMemoryCamera
from tests.waiting import until

ONE = ()
THREE = (ShotSettings(name="top"), ShotSettings(name="left"), ShotSettings(name="right"))
WINDOW_S = 2.5
STEPS = (
    "seen",
    "acknowledged to the controller",
    "exposing",
    "exposed",
    "a frame sent",
    "all frames sent",
    "received",
    "writing",
    "written, which it does not know",
    "written",
    "acknowledged",
    "told",
)
WRITTEN = STEPS[STEPS.index("written, which it does not know") :]
"""From here on the controller has the result: the part is decided, whoever dies."""


class Dead(Exception):
    """The process is no more: what it was about to do does not happen."""


@dataclass
class Fate:
    """When one gateway dies; whatever it does passes here first."""

    at: str = ""
    is_dead: bool = False
    sleeps: bool = False
    """It stops there instead, as by SIGSTOP, until it is woken."""
    die: Callable[[], None] = lambda: None
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_asleep(self) -> bool:
        return self.sleeps and not self.at and not self.awake.is_set()

    def reach(self, step: str) -> None:
        """Raises ``Dead`` where this is the end."""
        if step and step == self.at and not self.is_dead:
            self.is_dead = True
            self.die()
        if self.is_dead:
            raise Dead

    async def passes(self, step: str = "") -> None:
        """Return, or never; whoever was asleep goes on where it was."""
        if self.sleeps and step and step == self.at:
            self.at = ""
        if self.is_asleep:
            await self.awake.wait()
            return
        try:
            self.reach(step)
        except Dead:
            await asyncio.Event().wait()


@dataclass
class MortalLink:
    """``LineLink`` of a gateway that dies."""

    inner: LineLink
    fate: Fate

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        await self.inner.run(on_event)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        await self.fate.passes()
        return await self.inner.read(signals)

    def trigger_age(self) -> TriggerAge:
        return self.inner.trigger_age()

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        await self.fate.passes("its number goes out" if Signal.RESULT_SEQ in values else "")
        refused = await self.inner.write(values)
        if Signal.TRIGGER_ACK_SEQ in values:
            await self.fate.passes("acknowledged to the controller")
        if Signal.RESULT_SEQ in values:
            await self.fate.passes("written, which it does not know")
        return refused


class MortalCamera(InMemoryCamera):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate

    async def capture(self, trigger: Trigger) -> Picture:
        await self.fate.passes("exposing")
        picture = await super().capture(trigger)
        await self.fate.passes("exposed")
        return picture


@dataclass
class Kafka:
    """What both gateways sent, and who hears the answers."""

    buses: list["MortalBus"] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    acks: list[Acknowledgement] = field(default_factory=list)

    def tell(self, decision: Decision | None) -> None:
        for bus in self.buses if decision is not None else ():
            bus.feed.tell(decision)

    def of_part(self, frame: Frame) -> set[object]:
        return {f.frame_id for f in self.frames if f.part_identity == frame.part_identity}


class MortalBus(MemoryBus):
    """The way of one gateway to Kafka; workers answer as soon as they have all of a part."""

    def __init__(self, kafka: Kafka, fate: Fate) -> None:
        super().__init__()
        self.kafka, self.fate = kafka, fate
        kafka.buses.append(self)

    async def send(self, topic: str, message: Message) -> None:
        await self.fate.passes()
        await super().send(topic, message)
        if topic == FRAMES.name:
            frame = from_message(Frame, message.value, message.headers)
            self.kafka.frames.append(frame)
            whole = len(self.kafka.of_part(frame)) == frame.shots_expected
            answer = decision_for if frame.shots_expected == 1 else joined_for
            said = answer(frame) if whole else None
            if whole:
                asyncio.get_running_loop().call_later(0.02, self.kafka.tell, said)
            await self.fate.passes("a frame sent")
            if whole:
                await self.fate.passes("all frames sent")
        if topic == ACKS.name:
            self.kafka.acks.append(from_message(Acknowledgement, message.value, message.headers))
            await self.fate.passes("told")


class MortalLine(Line):
    """A gateway of a pair."""

    def __init__(
        self, folder: Path, plc: SimulatedPlc, kafka: Kafka, shots: Sequence[ShotSettings]
    ) -> None:
        folder.mkdir()
        self.fate = Fate(die=self.end)
        own = GatewaySettings(
            standby=True,
            heartbeat_ms=100,
            result_window_ms=int(1000 * WINDOW_S),
            shots=tuple(shots),
        )
        super().__init__(
            folder,
            plc,
            bus=MortalBus(kafka, self.fate),
            cameras=[MortalCamera(self.fate) for _ in shots or (None,)],
            config=own,
            owned=True,
            on_step=self.stepped,
            by=lambda link: MortalLink(link, self.fate),
        )

    def end(self) -> None:
        """What the process does not do any more; the operating system closes its connection."""
        assert self.gateway is not None
        self.gateway._ports.link.in_charge = False
        task, self._task = self._task, None
        assert task is not None
        self.dying = task
        asyncio.get_running_loop().call_soon(task.cancel)

    def stepped(self, before: State, after: State, commands: Sequence[Command]) -> None:
        for key, part in after.parts.items():
            earlier = before.parts.get(key)
            if earlier is None and not part.missed and before.parts is not after.parts:
                self.fate.reach("seen")
            if part.verdict is not None and (earlier is None or earlier.verdict is None):
                self.fate.reach("received")
            if earlier is not None and part.phase is not earlier.phase:
                step = {Phase.WRITING: "writing", Phase.WRITTEN: "written"}.get(part.phase, "")
                self.fate.reach(step)
        gone = [key for key in before.parts if key not in after.parts]
        if gone:
            self.fate.reach("acknowledged")

    async def buried(self) -> None:
        with suppress(asyncio.CancelledError, Dead):
            await self.dying

    async def born_again(self) -> None:
        """The process starts again with its disk, and stands by."""
        self.fate.at, self.fate.is_dead = "", False
        await self.start_gateway(ready=False)


@asynccontextmanager
async def pair(
    folder: Path, shots: Sequence[ShotSettings]
) -> AsyncIterator[tuple[list[MortalLine], SimulatedPlc, Kafka]]:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    times = {"window_s": WINDOW_S, "heartbeat_s": 0.1, "heartbeat_missed": 100}
    plc = SimulatedPlc(PlcConfig(url=url, takt_s=5.0, **times))
    await plc.start()
    kafka = Kafka()
    lines = [MortalLine(folder / name, plc, kafka, shots) for name in ("a", "b")]
    try:
        await lines[0].start_gateway()
        await lines[1].start_gateway(ready=False)
        yield lines, plc, kafka
    finally:
        for line in lines:
            await line.stop_gateway()
            await line.bus.close()
        await plc.stop()


async def play(plc: SimulatedPlc, name: str) -> int:
    assert await plc.wait_for(lambda: plc.ready, 20), f"nobody is ready for {name}"
    return await plc.trigger(PlannedPart(part_id=name, product_id="demo"))


async def played(plc: SimulatedPlc, kafka: Kafka, name: str) -> None:
    """A part that goes its whole way: nothing of it is under way any more."""
    seq = await play(plc, name)
    await plc.settled(seq)
    await until(lambda: any(ack.trigger_seq == seq for ack in kafka.acks), 10)


async def fatally(dying: MortalLine, heir: MortalLine, plc: SimulatedPlc, step: str) -> int:
    """A part at which one dies, and the other takes over; its trigger's number."""
    dying.fate.at = step
    seq = await play(plc, f"at {step}")
    await until(lambda: dying.fate.is_dead, 10, f"the end at {step}")
    await dying.buried()
    await until(lambda: heir.gateway._ports.link.in_charge, 10)
    await plc.settled(seq)
    return seq


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("shots", [ONE, THREE], ids=["one", "three"])
async def test_whoever_dies_at_whichever_step_no_part_is_lost_or_acted_on_twice(
    tmp_path: Path, shots: Sequence[ShotSettings]
) -> None:
    async with pair(tmp_path, shots) as (lines, plc, kafka):
        fatal: dict[int, str] = {}
        for step in STEPS:
            await played(plc, kafka, f"before {step}")
            fatal[await fatally(lines[0], lines[1], plc, step)] = step
            await played(plc, kafka, f"after {step}")
            await lines[0].born_again()
            lines.reverse()
        entries = entries_of(plc.ledger.rows)
        found = summarise(entries)
        assert found["parts"] == 3 * len(STEPS)
        assert found["undecided"] == found["acted_twice"] == found["wrong_part"] == 0
        for entry in entries:
            seq, step = entry.trigger.trigger_seq, fatal.get(entry.trigger.trigger_seq, "")
            assert len(entry.results) <= 1, step
            if not step or step in WRITTEN:
                assert (entry.source, entry.action) == ("expert", "pass"), step
            else:
                assert entry.action == "hold", step
            said = {(a.result_id, a.source.value) for a in kafka.acks if a.trigger_seq == seq}
            assert len(said) == 1, f"one result of the part at {step!r} is told: {said}"
            assert not entry.applied or {source for _, source in said} == {entry.source}, step
        shown = {(f.trigger_seq, f.shot, f.frame_id) for f in kafka.frames}
        assert len(shown) == len({(seq, shot) for seq, shot, _ in shown})


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("step", ["exposing", "a frame sent", "its number goes out"])
async def test_one_that_wakes_takes_no_trigger_of_the_other_for_missed(
    tmp_path: Path, step: str
) -> None:
    """Its write that was under way puts its own number back, so that it finds itself in charge."""
    async with pair(tmp_path, ONE) as ((sleeper, heir), plc, kafka):
        await played(plc, kafka, "before")
        sleeper.fate.at, sleeper.fate.sleeps = step, True
        seq = await play(plc, "at its end")
        await until(lambda: sleeper.fate.is_asleep, 10, f"sleep at {step}")
        await until(lambda: heir.gateway._ports.link.in_charge, 10)
        await plc.settled(seq)
        for name in ("meanwhile", "meanwhile, too"):
            await played(plc, kafka, name)
        seq = await play(plc, "as it wakes")
        sleeper.fate.awake.set()
        await plc.settled(seq)
        for name in ("later", "later, too"):
            await played(plc, kafka, name)
        entries = entries_of(plc.ledger.rows)
        found = summarise(entries)
        assert (found["parts"], found["undecided"], found["wrong_part"]) == (7, 0, 0)
        for entry in entries:
            said = {(row.action, row.source) for row in entry.results}
            assert len(said) <= 1, f"{entry.part_id}: {said}"
        if step != "its number goes out":  # that one shows a result again, which is the same
            assert found["acted_twice"] == 0
