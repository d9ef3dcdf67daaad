"""``kill -9`` of the gateway process, over the embedded broker and the simulated controller."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from infra.stack.broker import Broker
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart, generate_plan
from streams.codes import AckOutcome
from streams.envelope import from_message, to_message
from streams.events import Acknowledgement, Frame
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ACKS, DECISIONS, FRAMES, MAX_FETCH_BYTES
from tests.connectors.line import decision_for, joined_for
from tests.waiting import until

pytestmark = pytest.mark.slow


@dataclass
class KillableLine:
    """The gateway as a process of its own; inspect's part is played here."""

    folder: Path
    broker: Broker
    plc: SimulatedPlc
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    frames: list[Frame] = field(default_factory=list)
    acks: list[Acknowledgement] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    shots: str = ""
    """The station's shots as JSON, where it takes several; then join's part is played here too."""

    async def start(self) -> None:
        state = str(self.folder / "state")
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",  # the second start need not compile again
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "ANDON_PATHS__STATE": state,
            "ANDON_GATEWAY__PLC_URL": self.plc.config.url,
            "ANDON_GATEWAY__CAMERA": "synthetic:size=32",
            **({"ANDON_GATEWAY__SHOTS": self.shots} if self.shots else {}),
            "ANDON_GATEWAY__JOURNAL_DIR": state + "/journal",
            "ANDON_GATEWAY__SPOOL_DIR": state + "/spool",
            "ANDON_GATEWAY__RESULT_WINDOW_MS": str(int(self.plc.config.result_window_s * 1000)),
        }
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "andon", "gateway", env=environment, stderr=log
            )

    async def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
        if self.process is not None:
            await self.process.wait()

    def of_part(self, frame: Frame) -> list[Frame]:
        return [f for f in self.frames if f.part_identity == frame.part_identity]

    async def follow(self, publisher: KafkaPublisher) -> None:
        consumer = AIOKafkaConsumer(
            FRAMES.name,
            ACKS.name,
            bootstrap_servers=self.broker.bootstrap_servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
            fetch_max_wait_ms=10,
        )
        await consumer.start()
        try:
            async for record in consumer:
                if record.topic == ACKS.name:
                    event = from_message(Acknowledgement, record.value, record.headers)
                    self.acks.append(event)
                    continue
                frame = from_message(Frame, record.value, record.headers)
                self.frames.append(frame)
                await self.answering.wait()
                if not self.shots:
                    await publisher.send(DECISIONS.name, to_message(decision_for(frame)))
                elif len({f.frame_id for f in self.of_part(frame)}) == frame.shots_expected:
                    await publisher.send(DECISIONS.name, to_message(joined_for(frame)))
        finally:
            await consumer.stop()


@asynccontextmanager
async def killable(
    folder: Path, broker: Broker, config: PlcConfig, shots: str = ""
) -> AsyncIterator[KillableLine]:
    await ensure_topics(KafkaConnection(broker.bootstrap_servers))
    publisher = KafkaPublisher(KafkaConnection(broker.bootstrap_servers))
    plc = SimulatedPlc(config)
    await plc.start()
    line = KillableLine(folder, broker, plc, shots=shots)
    following = asyncio.create_task(line.follow(publisher))
    try:
        await line.start()
        yield line
    finally:
        await line.kill()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await publisher.stop()
        await plc.stop()


def patient(window_s: float, takt_s: float = 0.2) -> PlcConfig:
    """A controller that does not give a dead gateway's parts up before the window."""
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    return PlcConfig(url=url, takt_s=takt_s, window_s=window_s, heartbeat_missed=1000)


@pytest.mark.asyncio
async def test_killed_between_capture_and_result_same_frame_one_result(
    tmp_path: Path, fresh_broker: Broker
) -> None:
    async with killable(tmp_path, fresh_broker, patient(120.0)) as line:
        assert await line.plc.wait_for(lambda: line.plc.ready, 120)
        seq = await line.plc.trigger(PlannedPart(part_id="the part", product_id="demo"))
        await until(lambda: len(line.frames) == 1, 30)
        await line.kill()
        line.answering.set()  # decided while the gateway is dead
        await line.start()
        async with asyncio.timeout(120):
            await line.plc.settled(seq)
        await until(lambda: len(line.acks) >= 1, 30)
        entry = entries_of(line.plc.ledger.rows)[0]
        assert (entry.source, entry.action, len(entry.results)) == ("expert", "pass", 1)
        assert entry.results[0].part_id == "the part"
        assert {a.frame_id for a in line.acks} == {f.frame_id for f in line.frames}
        assert len({f.frame_id for f in line.frames}) == 1
        assert {a.outcome for a in line.acks} == {AckOutcome.ACKNOWLEDGED}


@pytest.mark.asyncio
async def test_killed_after_the_shots_the_part_keeps_its_frames_and_gets_one_result(
    tmp_path: Path, fresh_broker: Broker
) -> None:
    shots = json.dumps([{"name": "top"}, {"name": "left", "delay_ms": 30}, {"name": "right"}])
    async with killable(tmp_path, fresh_broker, patient(120.0), shots) as line:
        assert await line.plc.wait_for(lambda: line.plc.ready, 120)
        seq = await line.plc.trigger(PlannedPart(part_id="the part", product_id="demo"))
        await until(lambda: bool(line.frames), 30)
        await line.kill()
        line.answering.set()  # the other frames are read and decided while the gateway is dead
        await line.start()
        async with asyncio.timeout(120):
            await line.plc.settled(seq)
        await until(lambda: len(line.acks) >= 1, 30)
        entry = entries_of(line.plc.ledger.rows)[0]
        assert (entry.action, len(entry.results)) in (("pass", 1), ("hold", 1))
        identities = {f.part_identity for f in line.frames}
        assert len(identities) == 1
        assert len({f.frame_id for f in line.frames}) == len({f.shot for f in line.frames}) <= 3
        assert {a.frame_id for a in line.acks} == identities


@pytest.mark.asyncio
async def test_killed_again_and_again_while_the_line_runs(
    tmp_path: Path, fresh_broker: Broker
) -> None:
    """Every part has one end, none two; each result that counted is on Kafka once."""
    async with killable(tmp_path, fresh_broker, patient(5.0)) as line:
        line.answering.set()
        plan = iter(generate_plan(1000, "demo"))
        played: list[list[int]] = []
        for _ in range(3):
            assert await line.plc.wait_for(lambda: line.plc.ready, 120)
            played.append([])
            for _ in range(20):
                await line.plc.wait_for(lambda: line.plc.ready, 1)
                played[-1].append(await line.plc.trigger(next(plan)))
            await line.kill()  # with parts in every state
            for _ in range(4):
                await line.plc.trigger(next(plan))
            await line.start()
        assert await line.plc.wait_for(lambda: line.plc.ready, 120)
        assert await line.plc.wait_for(lambda: line.plc.open_parts == 0, 10)
        entries = entries_of(line.plc.ledger.rows)
        summary = summarise(entries)
        assert summary["parts"] == 72
        assert summary["undecided"] == summary["acted_twice"] == summary["wrong_part"] == 0
        applied = {e.trigger.trigger_seq: e for e in entries if e.applied}
        assert all(any(seq in applied for seq in phase) for phase in played)
        # the report of a late decision may come before it
        await until(
            lambda: {a.trigger_seq for a in line.acks if a.reached_controller} >= set(applied), 30
        )
        for seq, entry in applied.items():
            effective = {a.result_id: a for a in line.acks if a.trigger_seq == seq}
            taken = [a for a in effective.values() if a.reached_controller]
            assert [a.source.value for a in taken] == [entry.source]
        identities = {(f.plc_boot_id, f.trigger_seq, f.frame_id) for f in line.frames}
        assert len(identities) == len({i[:2] for i in identities})
