"""The handshake over restarts, silence and a link that breaks, on one machine of the pure core."""

from dataclasses import replace

import pytest

from connectors.handshake import Phase
from connectors.handshake import values as hs
from connectors.handshake.machine import restore
from connectors.handshake.signals import Signal
from streams.codes import AckOutcome, DecisionSource, FaultCode, ResultCode
from tests.connectors.test_handshake import ready_world
from tests.connectors.world import World, frame_id, verdict


@pytest.mark.parametrize("same_boot", [True, False])
def test_restart_at_sequence_zero_never_captures(same_boot: bool) -> None:
    world = ready_world(seed=6, decide_s=(0.5, 0.6))
    old = world.trigger()
    world.run(0.1)
    world.cut()
    boot = world.plc[Signal.PLC_BOOT_ID]
    world.restart_plc()
    if same_boot:
        world.plc[Signal.PLC_BOOT_ID] = boot
    world.run(0.2)
    world.connect()
    world.run(2)
    world.check()
    assert world.captured == [old]
    assert world.resynchronised == 1
    assert not world.results[old]
    late = [r for r in world.reports if r.key == old]
    assert [r.outcome for r in late] in ([AckOutcome.OLD_BOOT], [])
    new = world.trigger()
    world.run(2)
    assert world.captured == [old, new]
    assert world.results[new][0][1] == world.triggered[new]


def test_boot_change_seen_with_a_trigger_never_captures() -> None:
    world = ready_world(seed=7)
    world.plc[Signal.PLC_BOOT_ID] = 99
    world.plc[Signal.TRIGGER_SEQ] = 41
    world.trigger()
    world.run(1)
    assert world.captured == []
    assert world.resynchronised == 1
    assert world.plc[Signal.TRIGGER_ACK_SEQ] == 42


def test_a_silent_controller_drops_ready_within_two_seconds() -> None:
    world = ready_world(seed=8)
    world.heart_stopped = True
    world.run(2.0)
    assert not world.plc[Signal.READY]
    assert world.plc[Signal.FAULT_CODE] == FaultCode.PLC_HEARTBEAT
    held = world.trigger()
    world.run(0.5)
    assert world.captured == []
    assert world.results[held][0][2] == ResultCode.HOLD
    world.heart_stopped = False
    world.run(1.0)
    assert world.plc[Signal.READY]


def test_a_write_that_arrived_although_the_link_broke_is_not_written_again() -> None:
    for seed in range(40):
        world = ready_world(seed=seed, decide_s=(0.05, 0.05))
        key = world.trigger()
        world.run(0.05 + world.rng.uniform(0.0, 0.1))
        world.cut()
        world.run(0.1)
        world.connect()
        world.run(2)
        world.check()
        assert len(world.results[key]) == 1


def test_triggers_during_an_outage_are_missed_and_held() -> None:
    world = ready_world(seed=14)
    world.trigger()
    world.run(1)
    world.cut()
    missed = []
    for _ in range(12):
        missed.append(world.trigger())
        world.run(0.1)
    world.connect()
    world.run(3)
    world.check()
    assert [world.results[k][0][2] for k in missed] == [ResultCode.HOLD] * 12
    assert {world.outcomes()[k] for k in missed} == {AckOutcome.LATE}
    assert all("after the window" in r.detail for r in world.reports if r.key in missed)
    assert len(world.captured) == 1
    assert world.plc[Signal.MISSED_COUNT] == 12


def test_first_contact_in_the_middle_of_a_run_captures_nothing_old() -> None:
    world = World(seed=15)
    world.plc[Signal.TRIGGER_SEQ] = 500
    world.connect()
    world.run(1)
    assert world.captured == []
    assert world.results == {}
    assert world.plc[Signal.TRIGGER_ACK_SEQ] == 500


def test_a_stop_request_stands_over_a_restart_of_the_gateway() -> None:
    world = ready_world(seed=19)
    world.feed(hs.Notice.STOP_REQUESTED)
    world.run(0.1)
    world.cut()
    world.state = restore(world.config, world.state.plc_boot_id, 0, [], {})
    world.connect()
    world.run(0.1)
    assert world.plc[Signal.STOP_REQUEST]
    world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1))
    world.run(0.1)
    assert not world.plc[Signal.STOP_REQUEST]


def test_a_decision_for_another_frame_of_the_same_number_is_of_an_old_boot() -> None:
    world = ready_world(seed=18, silent=1.0)
    key = world.trigger()
    world.run(0.1)
    other = frame_id(replace(world.state.parts[key].trigger, part_id="before"))
    stale = verdict(other, DecisionSource.EXPERT, ResultCode.PASS)
    world.feed(hs.Decided(key, other, stale))
    assert world.reports[-1].outcome is AckOutcome.OLD_BOOT
    assert world.state.parts[key].phase is Phase.OPEN


def test_a_controller_that_started_cold_behind_its_server_is_shown_everything_again() -> None:
    """The program stops and runs again, as of an S7-1500: the connection and its server stay."""
    world = ready_world(seed=11)
    first = world.trigger()
    world.run(2)
    assert world.results[first]
    shown = {s: world.plc[s] for s in (Signal.ONLINE, Signal.READY)}
    world.restart_plc()
    world._read_trigger()
    world.run(2)
    assert world.resynchronised == 1
    assert {s: world.plc[s] for s in shown} == shown == {Signal.ONLINE: True, Signal.READY: True}
    second = world.trigger()
    world.run(2)
    assert world.captured == [first, second]
