"""A station that takes several shots of a part: one trigger, n frames, one result."""

import asyncio
from pathlib import Path

import pytest

from connectors.gateway.journal import Journal
from connectors.settings import GatewaySettings, ShotSettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, Action, DecisionSource, ReasonCode, Stage
from streams.envelope import to_message
from streams.events import DeadLetter, Decision, Frame, ShotVerdict
from streams.ids import image_key
from streams.kafka.delivery import Delivery
from streams.ports import Picture
from streams.roles.record_core import recorded
from streams.topics import DEAD, SHOTS
from tests.connectors.line import Line, decision_for, joined_for, running_line
from tests.contracts.twins.camera import InMemoryCamera
from tests.waiting import until

PART = PlannedPart(part_id="the part", product_id="demo")
PLC = PlcConfig(takt_s=1.0, window_s=10.0, heartbeat_missed=100)
SHOTS_OF_STATION = (
    ShotSettings(name="top", light="ring"),
    ShotSettings(name="left", delay_ms=20),
    ShotSettings(name="right", light="bar"),
)


def station(**changes: object) -> GatewaySettings:
    return GatewaySettings(result_window_ms=10_000, shots=SHOTS_OF_STATION).model_copy(
        update=changes
    )


def cameras() -> list[InMemoryCamera]:
    return [InMemoryCamera() for _ in SHOTS_OF_STATION]


def delivery_of(letter: DeadLetter, value: bytes) -> Delivery:
    message = to_message(letter, value)
    return Delivery(DEAD.name, 0, 0, message.key, message.value, message.headers)


def of_shot(frame: Frame) -> Decision:
    """What a worker that knows nothing of shots would answer to one of them."""
    return decision_for(frame, action=Action.SCRAP)


async def triggered(line: Line) -> list[Frame]:
    """The frames of the one part that is triggered."""
    await line.plc.trigger(PART)
    await until(lambda: len(line.bus.frames) == 3, 20)
    return sorted(line.bus.frames, key=lambda frame: frame.shot)


@pytest.mark.asyncio
async def test_one_trigger_is_one_frame_for_each_shot_and_one_result(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=station(), cameras=cameras()) as line:
        await line.start_gateway()
        frames = await triggered(line)
        assert [(f.shot, f.shots_expected) for f in frames] == [(1, 3), (2, 3), (3, 3)]
        assert [f.shot_name for f in frames] == ["top", "left", "right"]
        assert [f.light for f in frames] == ["ring", "", "bar"]
        assert len({f.frame_id for f in frames}) == 3
        assert {f.part_frame_id for f in frames} == {frames[0].frame_id}
        assert len({f.captured_at for f in frames}) == 1
        line.bus.feed.tell(joined_for(frames[1]))
        await line.plc.settled(1)
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.action, entry.source, len(entry.results)) == ("pass", "expert", 1)
        await until(lambda: len(line.bus.acks) == 1)
        (ack,) = line.bus.acks
        assert ack.frame_id == ack.part_frame_id == frames[0].frame_id
        assert (ack.outcome, ack.shot_name) == (AckOutcome.ACKNOWLEDGED, "")


@pytest.mark.asyncio
async def test_the_decision_of_one_shot_is_never_the_parts(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=station(), cameras=cameras()) as line:
        await line.start_gateway()
        frames = await triggered(line)
        for frame in frames:
            line.bus.feed.tell(of_shot(frame))
        line.bus.feed.tell(joined_for(frames[0], Action.REWORK))
        line.bus.feed.tell(joined_for(frames[0], Action.HOLD))
        await line.plc.settled(1)
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.action, len(entry.results)) == ("rework", 1)
        await until(lambda: len(line.bus.acks) == 2)
        assert sorted(a.outcome for a in line.bus.acks) == ["acknowledged", "late"]


@pytest.mark.asyncio
async def test_without_a_joiner_the_watchdog_decides(tmp_path: Path) -> None:
    config = station(result_window_ms=1000, watchdog_margin_ms=600)
    plc = PlcConfig(takt_s=1.0, window_s=1.0, heartbeat_missed=100)
    async with running_line(tmp_path, plc, config=config, cameras=cameras()) as line:
        await line.start_gateway()
        await line.plc.trigger(PART)
        await line.plc.settled(1)
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.action, entry.source) == ("rework", "watchdog")
        await until(lambda: len(line.bus.decisions) == 1)
        (decision,) = line.bus.decisions
        assert decision.frame_id == decision.part_frame_id
        assert decision.shots_expected == 3


@pytest.mark.asyncio
async def test_the_picture_of_a_camera_fault_is_kept_and_judged_by_nobody(tmp_path: Path) -> None:
    eyes = cameras()
    eyes[1].fail = True
    eyes[1].refused = Picture(b"all black", "image/png", "2.png")
    async with running_line(tmp_path, PLC, config=station(), cameras=eyes) as line:
        await line.start_gateway()
        await line.plc.trigger(PART)
        await until(lambda: bool(line.bus.of(SHOTS.name)), 20)
        await until(lambda: len(line.bus.frames) == 2, 20)
        ((letter, value),) = line.bus.of(DEAD.name)
        ((verdict, _),) = line.bus.of(SHOTS.name)
    assert isinstance(letter, DeadLetter)
    assert isinstance(verdict, ShotVerdict)
    assert (letter.stage, letter.error_type, letter.error) == (
        Stage.CAPTURE,
        "CameraFault",
        "lens cap",
    )
    assert letter.frame_id == verdict.frame_id
    assert value == b"all black"
    assert sorted(f.shot for f in line.bus.frames) == [1, 3]
    (kept,) = recorded(delivery_of(letter, value)).objects
    assert (kept.key, kept.content_type) == (image_key(verdict.frame_id), "image/png")


@pytest.mark.asyncio
async def test_a_shot_that_its_camera_does_not_take_is_said_at_once(tmp_path: Path) -> None:
    eyes = cameras()
    eyes[1].fail = True
    async with running_line(tmp_path, PLC, config=station(), cameras=eyes) as line:
        await line.start_gateway()
        await line.plc.trigger(PART)
        await until(lambda: bool(line.bus.of(SHOTS.name)), 20)
        ((verdict, _),) = line.bus.of(SHOTS.name)
        assert isinstance(verdict, ShotVerdict)
        assert (verdict.shot, verdict.shot_name) == (2, "left")
        assert (verdict.source, verdict.reason_code) == (
            DecisionSource.WATCHDOG,
            ReasonCode.CAPTURE_FAILED,
        )
        await until(lambda: len(line.bus.frames) == 2, 20)
        frames = line.bus.frames
        assert sorted(f.shot for f in frames) == [1, 3]
        assert verdict.part_frame_id == frames[0].part_frame_id
        line.bus.feed.tell(joined_for(frames[0], Action.HOLD))
        await line.plc.settled(1)
        assert [e.source for e in entries_of(line.plc.ledger.rows)] == ["expert"]


@pytest.mark.asyncio
async def test_without_any_picture_the_part_is_held_at_once(tmp_path: Path) -> None:
    eyes = cameras()
    for eye in eyes:
        eye.fail = True
    async with running_line(tmp_path, PLC, config=station(), cameras=eyes) as line:
        await line.start_gateway()
        await line.plc.trigger(PART)
        await line.plc.settled(1)
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.action, entry.source) == ("hold", "watchdog")
        assert entry.results[0].reason == "capture_failed"
        assert not line.bus.of(SHOTS.name)


@pytest.mark.asyncio
async def test_shots_of_one_camera_are_taken_in_turn(tmp_path: Path) -> None:
    eye = InMemoryCamera()
    async with running_line(tmp_path, PLC, config=station(), cameras=[eye] * 3) as line:
        await line.start_gateway()
        frames = await triggered(line)
        assert len(frames) == 3
        assert eye.most_at_once == 1


@pytest.mark.asyncio
async def test_the_journal_knows_every_shot_of_a_trigger_after_a_kill(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=station(), cameras=cameras()) as line:
        await line.start_gateway()
        frames = await triggered(line)
        # what kill -9 leaves: the file as it is, read by another
        copied = tmp_path / "copied.journal"
        copied.write_bytes((tmp_path / "line.journal").read_bytes())
        journal = Journal(copied)
        (entry,) = journal.open().entries.values()
        await journal.close()
        assert entry.frame_ids == tuple(f.frame_id for f in frames)
        await line.stop_gateway()
        await line.start_gateway(ready=False)
        line.bus.feed.tell(joined_for(frames[2]))
        async with asyncio.timeout(30):
            await line.plc.settled(1)
        (entry_of_plc,) = entries_of(line.plc.ledger.rows)
        assert (entry_of_plc.action, len(entry_of_plc.results)) == ("pass", 1)
