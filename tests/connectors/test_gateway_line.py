"""The gateway over a real OPC UA connection to the simulated controller."""

import asyncio
import random
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart, generate_plan
from lab.plc.play import play
from streams.codes import AckOutcome, Action, DecisionSource, FaultCode, ReasonCode
from streams.events import Decision, Frame, decision_id
from tests.connectors.line import Line, at_once, decision_for, running_line
from tests.contracts.twins.camera import InMemoryCamera
from tests.waiting import until

ROOMY = GatewaySettings(result_window_ms=10000)
ROOMY_PLC = PlcConfig(takt_s=0.05, window_s=10.0)


def summary_of(line: Line) -> dict:
    return summarise(entries_of(line.plc.ledger.rows))


@pytest.mark.asyncio
async def test_every_part_gets_its_own_result(tmp_path: Path) -> None:
    rng = random.Random(3)

    async def answer(frame: Frame) -> Decision:
        await asyncio.sleep(rng.uniform(0, 0.15))
        return decision_for(frame)

    names = [f"x'; DROP TABLE--\n☃-{n}" for n in range(60)]
    plan = [PlannedPart(part_id=name, product_id="demo", lot_id="lot") for name in names]
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY) as line:
        line.bus.answer = answer
        await line.start_gateway()
        await play(line.plc, plan, takt_s=0.05, ready_wait_s=10)
        summary = summary_of(line)
        assert summary["decided"] == summary["acknowledged"] == summary["parts"] == 60
        assert summary["acted_twice"] == summary["late"] == summary["wrong_part"] == 0
        await until(lambda: len(line.bus.acks) == 60)
        assert {a.outcome for a in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}
        captured = {f.frame_id: f.captured_at for f in line.bus.frames}
        assert {a.frame_id: a.captured_at for a in line.bus.acks} == captured
        assert [f.part_id for f in line.bus.frames] == [p.part_id for p in plan]
        for entry in entries_of(line.plc.ledger.rows):
            assert [r.part_id for r in entry.results] == [entry.trigger.part_id]


@pytest.mark.asyncio
async def test_padded_texts_are_trimmed_said_once_and_given_back_as_they_were(
    tmp_path: Path,
) -> None:
    config = GatewaySettings(result_window_ms=1000, watchdog_margin_ms=600)
    texts = {"product_id": "demo\0\0\0\0", "lot_id": "lötpaste 7 "}
    plan = [PlannedPart(part_id=f"A{n}      ", **texts) for n in range(3)]
    plc = PlcConfig(takt_s=0.05, window_s=10.0)
    with capture_logs() as said:
        async with running_line(tmp_path, plc, config=config) as line:
            await line.start_gateway()
            await play(line.plc, plan, takt_s=0.05, ready_wait_s=10)
            await until(lambda: len(line.bus.acks) == 3)
        for event in (*line.bus.frames, *line.bus.decisions):
            assert event.part_id in ("A0", "A1", "A2")
            assert (event.product_id, event.lot_id) == ("demo", "lötpaste 7")
        assert {d.action for d in line.bus.decisions} == {Action.REWORK}  # of the policy of "demo"
        for entry in entries_of(line.plc.ledger.rows):
            assert [r.part_id for r in entry.results] == [entry.trigger.part_id]
            assert entry.trigger.part_id.endswith("      ")
    assert sorted(e["text"] for e in said if e["event"] == "trigger.padded") == [
        *("lot_id", "part_id", "product_id")
    ]


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_thousand_triggers_over_the_wire(tmp_path: Path) -> None:
    rng = random.Random(4)

    async def answer(frame: Frame) -> Decision:
        await asyncio.sleep(rng.expovariate(20))
        return decision_for(frame)

    plc = PlcConfig(takt_s=0.03, window_s=30.0, heartbeat_missed=20)
    config = GatewaySettings(result_window_ms=30000)
    async with running_line(tmp_path, plc, config=config) as line:
        line.bus.answer = answer
        await line.start_gateway()
        await play(line.plc, generate_plan(1000, "demo"), takt_s=0.03, in_flight=8, ready_wait_s=10)
        summary = summary_of(line)
        assert summary["parts"] == summary["decided"] == 1000
        assert summary["acted_twice"] == summary["wrong_part"] == summary["undecided"] == 0
        for entry in entries_of(line.plc.ledger.rows):
            assert len(entry.results) == 1
        sources = summary["by_source"]
        assert sources["expert"] + sources.get("watchdog", 0) == 1000


@pytest.mark.asyncio
async def test_no_answer_is_the_products_no_decision_action(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=1000, watchdog_margin_ms=600)
    async with running_line(tmp_path, PlcConfig(takt_s=1.0), config=config) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="golden", product_id="demo"))
        await line.plc.settled(1)
        await until(lambda: len(line.bus.acks) == 1)
        decision, ack = line.bus.decisions[0], line.bus.acks[0]
        assert summary_of(line)["by_source"] == {"watchdog": 1}
        assert (decision.action, decision.source) == (Action.REWORK, DecisionSource.WATCHDOG)
        assert decision.reason_code is ReasonCode.NO_DECISION
        assert decision.golden is not None
        assert not decision.golden.is_right
        assert decision.result_id == ack.result_id
        assert {decision.captured_at, ack.captured_at} == {line.bus.frames[0].captured_at}
        assert decision.result_id == decision_id(decision.frame_id, DecisionSource.WATCHDOG)
        assert ack.outcome is AckOutcome.ACKNOWLEDGED
        assert ack.written_at < decision.deadline
        line.bus.feed.tell(decision_for(line.bus.frames[0]))
        await until(lambda: len(line.bus.acks) == 2)
        assert line.bus.acks[1].outcome is AckOutcome.LATE
        assert summary_of(line)["acted_twice"] == 0


@pytest.mark.asyncio
async def test_trigger_while_busy_is_missed_and_held(tmp_path: Path) -> None:
    camera = InMemoryCamera()
    camera.go.clear()
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY, camera=camera) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="first", product_id="demo"))
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.BUSY), 5)
        await line.plc.trigger(PlannedPart(part_id="second", product_id="demo"))
        await line.plc.settled(2)
        camera.go.set()
        await line.plc.settled(1)
        first, second = entries_of(line.plc.ledger.rows)
        assert (first.action, first.source) == ("pass", "expert")
        assert (second.action, second.source) == ("hold", "watchdog")
        assert second.results[0].reason == "missed_trigger"
        assert second.results[0].part_id == "second"
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.MISSED_COUNT) == 1, 5)
        missed = [d for d in line.bus.decisions if d.part_id == "second"]
        assert [d.reason_code for d in missed] == [ReasonCode.MISSED_TRIGGER]


@pytest.mark.asyncio
async def test_a_camera_that_fails_holds_the_part_and_then_drops_ready(tmp_path: Path) -> None:
    camera = InMemoryCamera()
    camera.fail = True
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY, camera=camera) as line:
        await line.start_gateway()
        seq = await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
        await line.plc.settled(seq)
        entry = entries_of(line.plc.ledger.rows)[0]
        assert (entry.action, entry.results[0].reason) == ("hold", "capture_failed")
        await until(lambda: len(line.bus.acks) == 1)
        assert line.bus.decisions[0].reason_code is ReasonCode.CAPTURE_FAILED
        assert line.bus.frames == []


@pytest.mark.asyncio
async def test_nine_unacknowledged_results_are_an_overrun(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=20000)
    plc = PlcConfig(takt_s=0.05, window_s=20.0)
    async with running_line(tmp_path, plc, config=config) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        line.plc.acks_withheld = True
        for number in range(1, 10):
            assert await line.plc.wait_for(lambda: line.plc.ready, 5)
            assert not line.plc.gateway(Signal.RESULT_OVERRUN)
            await line.plc.trigger(PlannedPart(part_id=f"part-{number}", product_id="demo"))
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.RESULT_OVERRUN), 5)
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.RESULT_OVERRUN
        assert summary_of(line)["decided"] == 1
        line.plc.acks_withheld = False
        await line.plc.acknowledge()
        assert await line.plc.wait_for(lambda: line.plc.open_parts == 1, 5)
        await line.reset_faults()
        assert await line.plc.wait_for(lambda: not line.plc.gateway(Signal.RESULT_OVERRUN), 5)
        assert summary_of(line)["acted_twice"] == 0


@pytest.mark.asyncio
async def test_a_controller_restarted_at_zero_triggers_no_capture(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=60000)
    async with running_line(tmp_path, ROOMY_PLC, config=config) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="before", product_id="demo"))
        await until(lambda: len(line.bus.frames) == 1)
        old = line.bus.frames[0]
        boot = line.plc.boot_id
        await line.plc.restart()
        assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        line.bus.feed.tell(decision_for(old))
        await until(lambda: [a.outcome for a in line.bus.acks] == [AckOutcome.OLD_BOOT])
        assert len(line.bus.frames) == 1, "a restart must not expose"
        line.bus.answer = at_once
        seq = await line.plc.trigger(PlannedPart(part_id="after", product_id="demo"))
        await line.plc.settled(seq)
        assert line.plc.boot_id != boot
        new = entries_of(line.plc.ledger.rows)[-1]
        assert (new.trigger.trigger_seq, new.source, new.results[0].part_id) == (
            1,
            "expert",
            "after",
        )


@pytest.mark.asyncio
async def test_a_frozen_controller_heartbeat_holds_parts_within_two_seconds(
    tmp_path: Path,
) -> None:
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        line.plc.heartbeat_frozen = True
        assert await line.plc.wait_for(lambda: not line.plc.gateway(Signal.READY), 2.1)
        seq = await line.plc.trigger(PlannedPart(part_id="held", product_id="demo"))
        await line.plc.settled(seq)
        assert entries_of(line.plc.ledger.rows)[0].action == "hold"
        assert line.bus.frames == []
        line.plc.heartbeat_frozen = False
        assert await line.plc.wait_for(lambda: line.plc.ready, 5)


@pytest.mark.asyncio
async def test_a_dead_gateway_makes_the_controller_hold_within_two_seconds(tmp_path: Path) -> None:
    plc = PlcConfig(takt_s=0.05, window_s=30.0)
    async with running_line(tmp_path, plc, config=GatewaySettings(result_window_ms=30000)) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
        await line.stop_gateway()
        async with asyncio.timeout(2.1):
            await line.plc.settled(1)
        assert entries_of(line.plc.ledger.rows)[0].default_reason == "gateway_dead"


@pytest.mark.asyncio
async def test_stopped_between_capture_and_result_same_frame_one_result(tmp_path: Path) -> None:
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
        await until(lambda: len(line.bus.frames) == 1)
        frame = line.bus.frames[0]
        await line.stop_gateway()
        await line.start_gateway()
        line.bus.feed.tell(decision_for(frame))
        await line.plc.settled(1)
        await until(lambda: len(line.bus.acks) == 1)
        entry = entries_of(line.plc.ledger.rows)[0]
        assert (entry.source, len(entry.results)) == ("expert", 1)
        assert line.bus.acks[0].frame_id == frame.frame_id
        assert {f.frame_id for f in line.bus.frames} == {frame.frame_id}


@pytest.mark.asyncio
async def test_kafka_down_parts_are_held_frames_spooled_and_replayed(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=1000, watchdog_margin_ms=700)
    async with running_line(tmp_path, PlcConfig(takt_s=1.0), config=config) as line:
        await line.start_gateway()
        line.bus.lose()
        for _ in range(3):
            seq = await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
            await line.plc.settled(seq)
            assert await line.plc.wait_for(lambda: line.plc.ready, 5)
        assert summary_of(line)["by_source"] == {"watchdog": 3}
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.KAFKA
        first = entries_of(line.plc.ledger.rows)[0]
        await until(lambda: time.time() > first.trigger.at + 1.0)  # its window is over
        line.bus.regain()
        await until(lambda: len(line.bus.acks) == 3 and len(line.bus.decisions) == 3, 10)
        assert [f.trigger_seq for f in line.bus.frames] == [1, 2, 3]
        assert line.bus.frames[0].model_extra["is_historical"] == "true"
        assert line.bus.decisions[0].is_historical
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.FAULT_CODE) == 0, 5)


@pytest.mark.asyncio
async def test_recipes_and_stop_requests(tmp_path: Path) -> None:
    async with running_line(tmp_path, ROOMY_PLC, config=ROOMY) as line:
        await line.start_gateway()
        await line.plc.put({Signal.RECIPE_REQ: 7, Signal.RECIPE_REQ_SEQ: 1})
        assert await line.plc.wait_for(
            lambda: (
                line.plc.gateway(Signal.RECIPE_ACK_SEQ) == 1
                and line.plc.gateway(Signal.RECIPE_ACTIVE) == 7
            ),
            5,
        )


@pytest.mark.asyncio
async def test_without_a_takt_parts_are_held_with_a_fault_until_there_is_one(
    tmp_path: Path,
) -> None:
    plc = PlcConfig(takt_s=0.05, window_s=10.0)
    with capture_logs() as said:
        async with running_line(tmp_path, plc, config=GatewaySettings()) as line:
            line.bus.answer = at_once
            await line.start_gateway()
            for takt_ms, name in ((0, "a"), (0xFFFFFFFF, "b"), (20_000, "c")):
                await line.plc.put({Signal.TAKT_MS: takt_ms})
                assert await line.plc.wait_for(lambda: line.plc.ready, 10)
                part = PlannedPart(part_id=name, product_id="demo")
                await line.plc.settled(await line.plc.trigger(part))
                fault = FaultCode.NONE if name == "c" else FaultCode.NO_WINDOW
                assert await line.plc.wait_for(
                    lambda: line.plc.gateway(Signal.FAULT_CODE) == fault,  # noqa: B023
                    10,
                )
            entries = entries_of(line.plc.ledger.rows)
    assert [entry.action for entry in entries] == ["hold", "hold", "pass"]
    assert [entry.source for entry in entries] == ["watchdog", "watchdog", "expert"]
    faults = [row["active"] for row in said if row.get("code") == FaultCode.NO_WINDOW.name]
    assert faults == [True, False], "one line for each change"
