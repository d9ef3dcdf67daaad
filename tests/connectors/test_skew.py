"""A worker's clock that is off is told from its decisions."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.gateway.skew import SkewWatch, skew_s
from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from streams.codes import DecisionSource, FaultCode
from streams.events import Decision, Frame
from tests.connectors.line import decision_for, frame_on, running_line


def decided(
    after_s: float, window_ms: int = 1000, source: DecisionSource = DecisionSource.EXPERT
) -> Decision:
    """A decision dated so long after its part's capture."""
    frame = frame_on("line1").model_copy(update={"result_window_ms": window_ms})
    decision = decision_for(frame, source)
    return decision.model_copy(
        update={"decided_at": decision.captured_at + timedelta(seconds=after_s)}
    )


@pytest.mark.parametrize(
    ("after_s", "skew"), [(0.0, 0.0), (0.1, 0.0), (0.2, 0.0), (1.1, 0.9), (-0.7, -0.7)]
)
def test_a_date_outside_of_capture_and_arrival_is_a_skew(after_s: float, skew: float) -> None:
    decision = decided(after_s)
    arrived_s = decision.captured_at.timestamp() + 0.2
    assert skew_s(decision, arrived_s) == pytest.approx(skew, abs=1e-5)


def test_a_skew_is_told_once_over_a_quarter_of_the_window_and_ends() -> None:
    told: list[bool] = []
    watch = SkewWatch(told.append)

    def saw(after_s: float, **more: object) -> list[bool]:
        decision = decided(after_s, **more)  # type: ignore[arg-type]
        watch.saw(decision, decision.captured_at.timestamp() + 0.1)
        return told

    assert saw(0.34) == []
    assert saw(0.36) == [True]
    assert saw(0.36) == [True]
    assert saw(3600.0, source=DecisionSource.CLASSIFIER) == [True, True]
    assert saw(0.05) == [True, True, True]
    assert saw(0.05, source=DecisionSource.CLASSIFIER)[-1] is False
    assert saw(0.36, window_ms=4000)[-1] is False
    assert saw(-3600.0)[-1] is True
    assert len(told) == 5


def test_a_gateways_own_decisions_and_those_read_again_say_nothing() -> None:
    told: list[bool] = []
    watch = SkewWatch(told.append)
    own = decided(5.0, source=DecisionSource.WATCHDOG)
    watch.saw(own, own.captured_at.timestamp())
    old = decided(-5.0)
    watch.saw(old, old.captured_at.timestamp() + 61.0)
    assert told == []


@pytest.mark.asyncio
async def test_the_controller_sees_a_workers_clock_that_is_off(tmp_path: Path) -> None:
    ahead = timedelta(seconds=0.9)

    async def answer(frame: Frame) -> Decision:
        decision = decision_for(frame)
        return decision.model_copy(update={"decided_at": decision.decided_at + ahead})

    config = GatewaySettings(result_window_ms=2000)
    async with running_line(tmp_path, PlcConfig(takt_s=5.0), config=config) as line:
        line.bus.answer = answer
        await line.start_gateway()
        for off in (True, False):
            seq = await line.plc.trigger(PlannedPart(part_id="p", product_id="demo"))
            await line.plc.settled(seq)
            shown = FaultCode.CLOCK_SKEW if off else FaultCode.NONE
            assert await line.plc.wait_for(
                lambda of=shown: line.plc.gateway(Signal.FAULT_CODE) == of, 10
            )
            ahead = timedelta(0)
            assert await line.plc.wait_for(lambda: line.plc.ready, 10)


def test_a_worker_that_knows_that_its_clock_is_off_is_judged_by_what_it_shows() -> None:
    """``decided_at`` is in the gateway's time then, and says nothing alone."""
    told: list[bool] = []
    watch = SkewWatch(told.append)
    for ahead_s in (3600.0, -3600.0, 0.0):
        decision = decided(0.05).model_copy(update={"clock_ahead_s": ahead_s})
        watch.saw(decision, decision.captured_at.timestamp() + 0.1)
        assert told[-1] is (ahead_s != 0)


@pytest.mark.asyncio
async def test_a_gateways_clock_that_is_set_in_a_run_changes_no_parts_fate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set an hour ahead and back between trigger and decision, and over a restart."""
    right, ahead_s = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: right() + ahead_s)
    steps = iter([3600.0, -3600.0, 0.0, 3600.0])

    async def answer(frame: Frame) -> Decision:
        nonlocal ahead_s
        ahead_s = next(steps)
        return decision_for(frame)

    config = GatewaySettings(result_window_ms=5000)
    async with running_line(tmp_path, PlcConfig(takt_s=5.0), config=config) as line:
        line.bus.answer = answer
        await line.start_gateway()
        for number in range(4):
            if number == 2:
                await line.stop_gateway()
                ahead_s = -ahead_s
                await line.start_gateway()
            seq = await line.plc.trigger(PlannedPart(part_id=f"p{number}", product_id="demo"))
            await line.plc.settled(seq)
            assert await line.plc.wait_for(lambda: line.plc.ready, 10)
        entries = entries_of(line.plc.ledger.rows)
    assert [(entry.action, entry.results_in_window) for entry in entries] == [("pass", 1)] * 4
