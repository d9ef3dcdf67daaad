"""The handshake as a pure machine: its cases, each by itself."""

from connectors.handshake import HandshakeConfig, PartKey
from connectors.handshake import values as hs
from connectors.handshake.sequence import LAST, following, span, steps
from connectors.handshake.signals import Signal
from streams.codes import AckOutcome, DecisionSource, FaultCode, ReasonCode, ResultCode
from tests.connectors.world import World, verdict


def ready_world(**options) -> World:
    world = World(**options)
    world.connect()
    world.run(1.0)
    assert world.plc[Signal.READY]
    assert world.plc[Signal.ONLINE]
    return world


def test_a_thousand_triggers_with_random_latencies() -> None:
    world = ready_world(seed=1)
    for _ in range(1000):
        world.trigger()
        world.run(world.rng.uniform(0.05, 0.4))
    world.run(3)
    world.check()
    assert len(world.results) == 1000
    for key, rows in world.results.items():
        assert [row[1] for row in rows] == [world.triggered[key]]
    assert set(world.outcomes().values()) == {AckOutcome.ACKNOWLEDGED}
    assert len(world.captured) == 1000


def test_trigger_while_busy_is_missed_and_held() -> None:
    world = ready_world(seed=2)
    first = world.trigger()
    world.run(0.013)
    assert world.state.exposing == first
    second = world.trigger()
    world.run(2)
    world.check()
    assert world.captured == [first]
    assert world.results[second][0][1:] == (world.triggered[second], int(ResultCode.HOLD))
    assert world.plc[Signal.MISSED_COUNT] == 1
    assert world.plc[Signal.TRIGGER_ACK_SEQ] == second.trigger_seq


def test_a_jump_holds_every_sequence_number_missed() -> None:
    world = ready_world(seed=3)
    first = world.trigger()
    world.run(1)
    world.plc[Signal.TRIGGER_SEQ] += 3
    for seq in (2, 3, 4):
        world.triggered[PartKey(1, seq)] = f"unseen-{seq}"
    last = world.trigger()
    world.run(2)
    world.check()
    assert world.captured == [first, last]
    assert {k.trigger_seq for k, rows in world.results.items() if rows[0][2] == 4} == {2, 3, 4}
    assert world.plc[Signal.MISSED_COUNT] == 3


def test_the_ninth_unacknowledged_result_is_an_overrun() -> None:
    world = ready_world(
        seed=4, decide_s=(0.01, 0.02), config=HandshakeConfig(result_window_ms=9000)
    )
    world.acks_withheld = True
    keys = []
    for _ in range(8):
        keys.append(world.trigger())
        world.run(0.1)
    assert not world.plc[Signal.RESULT_OVERRUN]
    keys.append(world.trigger())
    world.run(0.1)
    assert world.plc[Signal.RESULT_OVERRUN]
    assert world.plc[Signal.FAULT_CODE] == FaultCode.RESULT_OVERRUN
    assert len(world.results) == 1, "an unacknowledged result must never be overwritten"
    assert world.outcomes()[keys[8]] is AckOutcome.UNACKNOWLEDGED
    world.acks_withheld = False
    world.acknowledge()
    world.run(3)
    world.check()
    assert set(world.results) == set(keys[:8])
    world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1))
    world.run(0.1)
    assert not world.plc[Signal.RESULT_OVERRUN]
    assert world.plc[Signal.FAULT_CODE] == 0


def test_results_whose_window_ended_in_the_buffer_leave_it_and_raise_no_overrun() -> None:
    world = ready_world(seed=5, decide_s=(0.01, 0.02), takt_ms=200)
    world.acks_withheld = True
    keys = [world.trigger()]
    for _ in range(11):
        world.run(0.2)
        keys.append(world.trigger())
    world.run(0.1)
    assert not world.plc[Signal.RESULT_OVERRUN]
    assert len(world.state.queue) == 2, "the one in the registers, and the newest"
    world.acks_withheld = False
    world.acknowledge()
    world.run(0.05)
    assert set(world.results) == {keys[0], keys[-1]}, "the one that is in time is told at once"
    world.run(1)
    assert world.plc[Signal.PENDING_RESULTS] == 0
    world.check()


def test_a_controller_that_acknowledges_nothing_is_told_so_when_the_windows_are_short() -> None:
    world = ready_world(seed=5, decide_s=(0.01, 0.02), takt_ms=200)
    world.acks_withheld = True
    for _ in range(30):
        world.trigger()
        world.run(0.2)
    assert world.plc[Signal.RESULT_OVERRUN]
    assert world.plc[Signal.FAULT_CODE] == FaultCode.RESULT_OVERRUN


def test_the_watchdog_writes_before_the_window_ends_and_the_late_decision_is_reported() -> None:
    world = ready_world(seed=9, decide_s=(1.1, 1.2), takt_ms=1000)
    key = world.trigger()
    triggered = world.now
    while not world.results[key]:
        world.run(0.005)
        assert world.now < triggered + 1.0
    assert world.now > triggered + 0.94
    assert world.results[key][0][2] == ResultCode.REWORK
    world.run(1)
    world.check()
    outcomes = [(r.verdict.source, r.outcome) for r in world.reports]
    assert outcomes == [
        (DecisionSource.WATCHDOG, AckOutcome.ACKNOWLEDGED),
        (DecisionSource.EXPERT, AckOutcome.LATE),
    ]


def test_a_capture_failure_is_a_hold() -> None:
    world = ready_world(seed=10, capture_fails=1.0)
    key = world.trigger()
    world.run(0.5)
    assert world.results[key][0][2] == ResultCode.HOLD
    assert world.reports[0].verdict.reason is ReasonCode.CAPTURE_FAILED
    assert world.plc[Signal.EXPOSURE_DONE_SEQ] == key.trigger_seq
    assert world.plc[Signal.READY]


def test_without_pipelining_ready_returns_with_the_acknowledgement() -> None:
    config = HandshakeConfig(pipelining=False)
    world = ready_world(seed=11, decide_s=(0.3, 0.3), config=config)
    world.trigger()
    world.run(0.25)
    assert world.plc[Signal.EXPOSURE_DONE_SEQ] == 1
    assert not world.plc[Signal.READY]
    world.run(0.3)
    assert world.plc[Signal.READY]


def test_counters_wrap_to_one_and_never_to_zero() -> None:
    world = World(seed=12)
    world.plc.update(
        {
            Signal.TRIGGER_SEQ: LAST - 2,
            Signal.TRIGGER_ACK_SEQ: LAST - 2,
            Signal.RESULT_SEQ: LAST - 1,
        }
    )
    world.connect()
    world.run(1)
    keys = []
    for _ in range(5):
        keys.append(world.trigger())
        world.run(0.5)
    world.check()
    assert [k.trigger_seq for k in keys] == [LAST - 1, LAST, 1, 2, 3]
    assert [world.results[k][0][0] for k in keys] == [LAST, 1, 2, 3, 4]
    assert world.resynchronised == 0
    assert world.plc[Signal.MISSED_COUNT] == 0


def test_without_configured_recipes_every_request_is_answered_at_once() -> None:
    world = ready_world(seed=16)
    world.feed(hs.RecipeRequested(1, 7))
    world.run(0.1)
    assert (world.plc[Signal.RECIPE_ACK_SEQ], world.plc[Signal.RECIPE_ACTIVE]) == (1, 7)
    assert world.plc[Signal.READY]
    assert world.plc[Signal.FAULT_CODE] == FaultCode.NONE


def test_a_blocking_fault_drops_ready_and_a_stop_request_stands_until_reset() -> None:
    world = ready_world(seed=17)
    world.feed(hs.FaultChanged(FaultCode.SPOOL_FULL, True))
    world.feed(hs.Notice.STOP_REQUESTED)
    world.run(0.1)
    assert not world.plc[Signal.READY]
    assert world.plc[Signal.STOP_REQUEST]
    world.feed(hs.FaultChanged(FaultCode.SPOOL_FULL, False))
    world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1))
    world.run(0.1)
    assert world.plc[Signal.READY]
    assert not world.plc[Signal.STOP_REQUEST]


def test_sequence_arithmetic() -> None:
    assert following(LAST) == 1
    assert following(0) == 1
    assert steps(LAST, 1) == 1
    assert steps(1, LAST) == -1
    assert steps(0, 3) == 3
    assert span(LAST - 1, 2, 10) == [LAST, 1, 2]
    assert span(5, 105, 3) == [103, 104, 105]
    assert span(5, 5, 3) == []


def test_a_second_decision_while_the_first_waits_is_late_and_a_repeated_one_is_nothing() -> None:
    world = ready_world(seed=19, silent=1.0)
    world.acks_withheld = True
    key = world.trigger()
    world.run(0.1)
    frame = world.state.parts[key].frame_id
    assert frame is not None
    first = verdict(frame, DecisionSource.CLASSIFIER, ResultCode.SCRAP)
    other = verdict(frame, DecisionSource.FALLBACK, ResultCode.HOLD)
    for answer in (first, first, other):
        world.feed(hs.Decided(key, frame, answer))
    assert [(r.verdict, r.outcome) for r in world.reports] == [(other, AckOutcome.LATE)]
    world.run(0.1)
    assert [row[2] for row in world.results[key]] == [ResultCode.SCRAP]


def test_results_that_wait_are_counted_while_the_first_is_not_acknowledged() -> None:
    world = ready_world(
        seed=5, decide_s=(0.01, 0.02), config=HandshakeConfig(result_window_ms=9000)
    )
    world.acks_withheld = True
    for number in (1, 2, 3):
        world.trigger()
        world.run(0.2)
        shown = world.plc[Signal.PENDING_RESULTS] if number > 1 else world.state.pending
        assert shown == number
    world.acks_withheld = False
    world.acknowledge()
    world.run(2)
    assert world.state.pending == 0
