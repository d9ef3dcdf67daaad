"""Two gateways at one controller: killed and stopped in turn, judged by the controller's ledger.

The workers' part is played here, so that the figures are those of the gateways alone.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from connectors.gateway.claims import gateway_of
from connectors.gateway.part_events import part_of
from connectors.handshake.signals import Signal
from infra.stack.broker import Broker, start_broker
from infra.stack.process import ProcessError, free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import generate_plan
from streams.codes import Action, DecisionSource, Evaluation, ReasonCode, Severity
from streams.envelope import from_message, to_message
from streams.events import Decision, Frame, decision_id
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.topic_admin import ensure_topics
from streams.topics import DECISIONS, FRAMES

_START_S = 120.0
_PAUSE_S = 4.0
"""A stopped gateway sleeps this long: the other one has taken over meanwhile."""


@dataclass(frozen=True)
class TakeoverOptions:
    """How long, how fast and how often."""

    parts: int
    takt_s: float
    window_s: float
    faults: int
    """Half of them are kills, the others stops and wakings."""


@dataclass
class _Pair:
    """Two gateways of one line with state folders of their own, as on two hosts."""

    folder: Path
    broker: Broker
    plc: SimulatedPlc
    gateways: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str, *words: str) -> asyncio.subprocess.Process:
        state = str(self.folder / name)
        environment = {
            **os.environ,
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "ANDON_PATHS__STATE": state,
            "ANDON_GATEWAY__PLC_URL": self.plc.config.url,
            "ANDON_GATEWAY__CAMERA": "synthetic:size=32",
            "ANDON_GATEWAY__JOURNAL_DIR": state + "/journal",
            "ANDON_GATEWAY__SPOOL_DIR": state + "/spool",
            "ANDON_GATEWAY__RESULT_WINDOW_MS": str(round(1000 * self.plc.config.result_window_s)),
            "ANDON_GATEWAY__IS_SIMULATED": "true",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.gateways[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "andon", "gateway", *words, env=environment, stderr=log
            )
        return self.gateways[name]

    async def said(self, name: str, word: str, count: int) -> None:
        """Wait until a gateway has logged an event so often. Raises ``ProcessError``."""
        if not await self.plc.wait_for(lambda: self.count(name, word) >= count, _START_S):
            tail = (self.folder / f"{name}.log").read_text()[-2000:]
            raise ProcessError(f"gateway {name} never said {word}:\n{tail}")

    def count(self, name: str, word: str) -> int:
        return (self.folder / f"{name}.log").read_text().count(word)

    @property
    def in_charge(self) -> int:
        """The number of the gateway in charge, as the controller has it."""
        return gateway_of(int(str(self.plc.gateway(Signal.VISION_HEARTBEAT))))

    async def stop(self) -> None:
        for process in self.gateways.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def _pair(folder: Path, options: TakeoverOptions) -> AsyncIterator[_Pair]:
    with start_broker() as broker:
        connection = KafkaConnection(broker.bootstrap_servers)
        await ensure_topics(connection)
        url = f"opc.tcp://127.0.0.1:{free_port()}"
        plc = SimulatedPlc(PlcConfig(url, options.takt_s, options.window_s))
        await plc.start()
        pair = _Pair(folder, broker, plc)
        deciding = asyncio.create_task(_decide(connection))
        try:
            yield pair
        finally:
            await pair.stop()
            deciding.cancel()
            with suppress(asyncio.CancelledError):
                await deciding
            await plc.stop()


async def _decide(connection: KafkaConnection) -> None:
    """Pass every frame."""
    publisher = KafkaPublisher(connection)
    try:
        async for records in PartitionReader(connection, {FRAMES.name: BEGINNING}).follow():
            for record in records:
                frame = from_message(Frame, record.value, record.headers)
                await publisher.send(DECISIONS.name, to_message(_passed(frame)))
    finally:
        await publisher.stop()


def _passed(frame: Frame) -> Decision:
    return Decision(
        **dict(part_of(frame)),
        result_id=decision_id(frame.frame_id, DecisionSource.EXPERT),
        source=DecisionSource.EXPERT,
        evaluation=Evaluation.OK,
        severity=Severity.NORMAL,
        action=Action.PASS,
        reason_code=ReasonCode.NORMAL,
        decided_at=frame.captured_at,
    )


async def run_takeover(
    folder: Path, options: TakeoverOptions, say: Callable[[str], None]
) -> dict[str, object]:
    """Play the parts while gateways die; the figures, and ``verdict``."""
    async with _pair(folder, options) as pair:
        await pair.start("a")
        if not await pair.plc.wait_for(lambda: pair.plc.ready, _START_S):
            raise ProcessError("the first gateway never became ready")
        refused_s = await _refused(pair)
        await pair.start("b", "--standby")
        await pair.said("b", "gateway.standing_by", 1)
        playing = asyncio.create_task(_play(pair.plc, options))
        took: dict[str, list[float]] = {"kill": [], "stop": []}
        now, other = "a", "b"
        try:
            for number in range(options.faults):
                due = (number + 1) * options.parts // (options.faults + 1)
                await pair.plc.wait_for(
                    partial(_has_come, pair.plc, due, playing),
                    options.parts * (options.takt_s + 5.0),
                )
                kind = "stop" if number % 2 else "kill"
                took[kind].append(await _fault(pair, kind, now, other))
                say(f"{kind} of {now}: {other} in charge after {took[kind][-1]:.2f} s")
                now, other = other, now
            await playing
        finally:
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing
        return _figures(pair, options, took, refused_s)


def _has_come(plc: SimulatedPlc, part: int, playing: asyncio.Task[None]) -> bool:
    return plc.trigger_seq >= part or playing.done()


async def _refused(pair: _Pair) -> float:
    """Seconds from the second gateway's first look at the controller to its end."""
    second = await pair.start("c")
    await pair.said("c", "plc.connected", 1)
    began = time.monotonic()
    async with asyncio.timeout(_START_S):
        code = await second.wait()
    if code != 1:
        raise ProcessError(f"a second gateway ended with exit code {code}, and 1 is right")
    return time.monotonic() - began


async def _fault(pair: _Pair, kind: str, victim: str, other: str) -> float:
    """Kill or stop the gateway in charge; seconds until the other one is Ready.

    Returns when the victim stands by again.
    """
    before, process = pair.in_charge, pair.gateways[victim]
    began = time.monotonic()
    process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
    taken = await pair.plc.wait_for(
        lambda: pair.in_charge != before and bool(pair.plc.gateway(Signal.READY)), _START_S
    )
    if not taken:
        raise ProcessError(f"gateway {other} never took over from {victim}")
    seconds = time.monotonic() - began
    if kind == "stop":
        await asyncio.sleep(max(_PAUSE_S - seconds, 0.0))
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(1.0)
        process.kill()  # whether it ended by itself or stands by
    await process.wait()
    told = pair.count(victim, "gateway.standing_by")
    await pair.start(victim, "--standby")
    await pair.said(victim, "gateway.standing_by", told + 1)
    return seconds


async def _play(plc: SimulatedPlc, options: TakeoverOptions) -> None:
    """Parts at their takt; one that finds no gateway waits for it, as on a line that can stop."""
    for part in generate_plan(options.parts, "demo"):
        await plc.wait_for(lambda: plc.ready, _START_S)
        await plc.trigger(part)
        await asyncio.sleep(options.takt_s)
    await plc.wait_for(lambda: plc.open_parts == 0, options.window_s + 1)


def _figures(
    pair: _Pair, options: TakeoverOptions, took: dict[str, list[float]], refused_s: float
) -> dict[str, object]:
    ledger = summarise(entries_of(pair.plc.ledger.rows))
    slowest = {f"slowest_after_{kind}_s": round(max(s, default=0.0), 2) for kind, s in took.items()}
    holds = not (ledger["acted_twice"] or ledger["undecided"] or ledger["wrong_part"])
    in_time = refused_s <= 2.0 and all(s <= 3.0 for seconds in took.values() for s in seconds)
    return {
        "verdict": "holds" if holds and ledger["parts"] == options.parts else "broken",
        "in_time": in_time,
        "takeovers": sum(len(seconds) for seconds in took.values()),
        **slowest,
        "second_refused_after_s": round(refused_s, 2),
        **ledger,
    }
