"""Rules of the handshake one by one, at their edges: who waits, who is late, what wakes it up."""

from dataclasses import replace

import pytest

from connectors.handshake import HandshakeConfig, PartKey, Phase, State, next_wakeup, step
from connectors.handshake import values as hs
from connectors.handshake.results import (
    acknowledged,
    confirm,
    decided,
    due,
    forget,
    keep,
    pump,
    release,
    write_ended,
)
from connectors.handshake.sequence import LAST
from connectors.handshake.signals import Signal
from connectors.handshake.state import CLOSED_LIMIT
from streams.codes import AckOutcome, FaultCode, ReasonCode
from tests.connectors.handshake_state import CONFIG, KEY, part, state, told, trigger
from tests.connectors.world import frame_id


def seen(seq: int, boot: int = 1, readable: bool = True) -> hs.TriggerSeen:
    return hs.TriggerSeen(trigger(seq, boot), frame_id(trigger(seq, boot)), readable)


# --- What a new state says ----------------------------------------------------------------------


def test_a_gateway_that_never_met_a_controller_promises_nothing() -> None:
    fresh = State(CONFIG)
    assert (fresh.online, fresh.alive, fresh.ready) == (False, False, False)
    assert (fresh.overrun, fresh.stop_request, fresh.result_seq_known) == (False, False, False)
    assert fresh.memory_whole
    assert told().class_id == -1


def test_ready_needs_every_one_of_its_conditions() -> None:
    assert state().ready
    assert state().why_not_ready == ""
    assert state().outputs[Signal.BUSY] is False
    busy = state(exposing=KEY)
    assert busy.outputs[Signal.BUSY] is True
    assert busy.why_not_ready == "the camera is still at trigger 5"
    dead = state(alive=False)
    assert (dead.ready, dead.why_not_ready) == (False, "PlcHeartbeat does not move")
    faulty = state(faults=frozenset({FaultCode.CAMERA, FaultCode.JOURNAL}))
    assert not faulty.ready
    assert faulty.why_not_ready == "fault CAMERA, JOURNAL stands"
    assert not state(online=False).ready


def test_one_part_at_a_time_without_pipelining() -> None:
    single = CONFIG.model_copy(update={"pipelining": False})
    assert replace(state(), config=single).ready
    waiting = replace(state(part()), config=single)
    assert not waiting.ready
    assert waiting.why_not_ready.startswith("the part before has no acknowledged result")


def test_trigger_enable_is_acted_on_only_where_that_is_set() -> None:
    disabled = state(enabled=False)
    assert disabled.ready
    heeding = replace(disabled, config=CONFIG.model_copy(update={"use_trigger_enable": True}))
    assert (heeding.ready, heeding.why_not_ready) == (False, "TriggerEnable is not set")
    enabled, (told_,) = step(heeding, 10.1, hs.CounterMoved(Signal.TRIGGER_ENABLE, 1))
    assert told_ == hs.WriteStatus({Signal.READY: True})
    disabled, _ = step(enabled, 10.2, hs.CounterMoved(Signal.TRIGGER_ENABLE, 0))
    _, commands = step(disabled, 10.3, seen(6))
    (hold,) = [c for c in commands if isinstance(c, hs.Decide)]
    assert hold.why == "the gateway was not ready: TriggerEnable is not set"


@pytest.mark.parametrize(("missed", "ready"), [(0, False), (1, True)])
def test_missed_parts_do_not_count_towards_the_open_limit(missed: int, ready: bool) -> None:
    limited = CONFIG.model_copy(update={"open_limit": 3})
    parts = [part(n, missed=n < missed) for n in range(3)]
    at_limit = replace(state(*parts), config=limited)
    assert at_limit.ready is ready
    if not ready:
        assert (
            at_limit.why_not_ready
            == "3 parts have no acknowledged result, and open_limit is reached"
        )


# --- When it wakes up ---------------------------------------------------------------------------

BEAT = 10.0 + 0.5
"""The next heartbeat of ``state()``."""


@pytest.mark.parametrize(
    ("parts", "changes", "expected"),
    [
        ((), {}, BEAT),
        ((), {"beat_at": 99.0}, 11.5),
        ((), {"beat_at": 99.0, "online": False}, 99.5),
        ((), {"beat_at": 99.0, "faults": frozenset({FaultCode.PLC_HEARTBEAT})}, 99.5),
        ((part(),), {"beat_at": 99.0}, 10.9),
        ((part(asked=True),), {"beat_at": 99.0}, 11.5),
        ((part(phase=Phase.QUEUED),), {"beat_at": 99.0}, 11.0),
        ((part(phase=Phase.QUEUED, missed=True),), {"beat_at": 99.0}, 11.5),
        ((part(phase=Phase.WRITING, deadline=1.0),), {"beat_at": 99.0}, 11.5),
        ((part(phase=Phase.WRITTEN, written_at=9.2),), {"beat_at": 99.0}, 11.2),
        ((part(phase=Phase.WRITTEN, written_at=0.0, missed=True),), {"beat_at": 99.0}, 2.0),
        ((part(phase=Phase.REPORTED, written_at=1.0, deadline=1.0),), {"beat_at": 99.0}, 11.5),
    ],
)
def test_it_wakes_up_for_what_is_due_next(
    parts: tuple[hs.Part, ...], changes: dict[str, object], expected: float
) -> None:
    assert next_wakeup(state(*parts, **changes)) == pytest.approx(expected)


def test_its_heartbeat_counts_up_once_a_period() -> None:
    before = state(vision_heartbeat=8)
    assert step(before, 10.49, hs.Notice.TICK)[0].vision_heartbeat == 8
    after, _ = step(before, 10.5, hs.Notice.TICK)
    assert (after.vision_heartbeat, after.beat_at) == (9, 10.5)
    wrapped, _ = step(state(vision_heartbeat=LAST), 10.5, hs.Notice.TICK)
    assert wrapped.vision_heartbeat == 0


def test_a_controller_is_dead_at_its_third_missed_heartbeat() -> None:
    assert step(state(), 11.49, hs.Notice.TICK)[0].alive
    dead, _ = step(state(), 11.5, hs.Notice.TICK)
    assert not dead.alive
    assert dead.faults == {FaultCode.PLC_HEARTBEAT}
    back, _ = step(dead, 12.0, hs.CounterMoved(Signal.PLC_HEARTBEAT, 1))
    assert (back.alive, back.faults, back.heartbeat_at) == (True, frozenset(), 12.0)
    away, _ = step(state(online=False), 99.0, hs.Notice.TICK)
    assert away.faults == frozenset(), "nobody is dead who is not connected"


def test_a_connection_that_ends_is_neither_online_nor_alive() -> None:
    after, commands = step(state(), 10.1, hs.Notice.DISCONNECTED)
    assert (after.online, after.alive, commands) == (False, False, [])


# --- Decisions ----------------------------------------------------------------------------------


def test_a_decision_at_the_deadline_is_late_and_one_before_is_written() -> None:
    event = hs.Decided(KEY, part().frame_id, told())
    after, commands = decided(state(part()), 10.999, event)
    assert isinstance(commands[0], hs.WriteResult)
    assert after.parts[KEY].phase is Phase.WRITING
    late, commands = decided(state(part()), 11.0, event)
    assert commands[0].outcome is AckOutcome.LATE
    assert KEY not in late.parts


@pytest.mark.parametrize(
    ("boot", "of", "expected"),
    [(1, 1, None), (2, 1, AckOutcome.OLD_BOOT), (None, 1, None), (None, 2, None)],
)
def test_a_decision_for_an_unknown_part_is_of_an_old_boot_or_of_nobody(
    boot: int | None, of: int, expected: AckOutcome | None
) -> None:
    event = hs.Decided(PartKey(of, 77), frame_id(trigger(77)), told(77))
    _, commands = decided(state(plc_boot_id=boot), 10.0, event)
    assert [c.outcome for c in commands] == ([expected] if expected else [])


def test_only_so_many_closed_parts_are_remembered() -> None:
    full = {PartKey(1, n): told(1).result_id for n in range(100, 100 + CLOSED_LIMIT - 1)}
    after = forget(state(part(phase=Phase.WRITTEN), closed=full), part(phase=Phase.WRITTEN))
    assert len(after.closed) == CLOSED_LIMIT
    assert PartKey(1, 100) in after.closed
    one_more = part(6, Phase.WRITTEN)
    after = forget(keep(after, one_more), one_more)
    assert len(after.closed) == CLOSED_LIMIT
    assert PartKey(1, 100) not in after.closed


# --- The controller's registers -----------------------------------------------------------------


def test_a_result_that_was_reported_without_being_written_leaves_its_place() -> None:
    reported, next_one = part(4, Phase.REPORTED), part(5, Phase.QUEUED)
    after, commands = pump(state(reported, next_one), 10.5)
    assert reported.key not in after.parts
    assert isinstance(commands[0], hs.WriteResult)


def test_a_result_that_was_reported_unacknowledged_keeps_its_place() -> None:
    reported = part(4, Phase.REPORTED, written_at=8.0)
    before = state(reported, part(5, Phase.QUEUED))
    assert pump(before, 10.5) == (before, [])


def test_a_queued_result_is_late_from_its_deadline_on_and_a_missed_one_never() -> None:
    after, commands = pump(state(part(phase=Phase.QUEUED)), 11.0)
    assert [c.outcome for c in commands] == [AckOutcome.LATE]
    assert not after.parts
    missed = part(phase=Phase.QUEUED, missed=True)
    _, commands = pump(state(missed), 99.0)
    assert isinstance(commands[0], hs.WriteResult)


def test_holds_of_missed_triggers_wait_until_the_queue_is_empty() -> None:
    missed, normal = part(4, Phase.QUEUED, missed=True), part(5, Phase.QUEUED)
    after, (write,) = pump(state(missed, normal), 10.5)
    assert (write.part.key, write.pending) == (normal.key, 2)
    assert after.backlog == (missed.key,)
    after, (write,) = pump(state(missed), 10.5)
    assert (write.part.key, write.pending) == (missed.key, 1)
    assert (after.queue, after.backlog) == ((missed.key,), ())


def test_nothing_is_ordered_without_a_connection() -> None:
    before = state(part(phase=Phase.QUEUED), online=False)
    assert pump(before, 10.5) == (before, [])


def test_only_a_write_that_was_ordered_can_come_back() -> None:
    queued = state(part(phase=Phase.QUEUED))
    assert write_ended(queued, 10.5, hs.ResultWritten(KEY)) == (queued, [])
    writing = state(part(phase=Phase.WRITING, result_seq=3))
    after, commands = write_ended(writing, 10.5, hs.ResultWritten(KEY))
    assert (after.parts[KEY].phase, after.parts[KEY].written_at) == (Phase.WRITTEN, 10.5)
    assert commands == []
    after, commands = write_ended(writing, 10.5, hs.ResultRefused(KEY, "no right"))
    assert commands[0].outcome is AckOutcome.UNACKNOWLEDGED
    assert KEY not in after.parts


def test_an_acknowledgement_closes_the_result_that_it_names() -> None:
    """One of a number that was not written yet stood there before the counters began anew."""
    written = part(phase=Phase.WRITTEN, result_seq=3, written_at=10.4)
    for seq, closed in ((0, False), (2, False), (3, True), (4, False)):
        after, commands = acknowledged(state(written), 10.6, seq)
        assert (KEY not in after.parts) is closed, seq
        assert [c.outcome for c in commands] == ([AckOutcome.ACKNOWLEDGED] if closed else [])
    unnumbered = state(part(phase=Phase.WRITING, result_seq=0))
    assert acknowledged(unnumbered, 10.6, 3) == (unnumbered, [])
    again = state(part(phase=Phase.QUEUED, result_seq=3))
    assert acknowledged(again, 10.6, 3) == (again, [])
    silent, commands = acknowledged(state(part(phase=Phase.REPORTED, result_seq=3)), 10.6, 3)
    assert (commands, KEY in silent.parts) == ([], False), "its outcome was told before"


def test_a_result_written_at_its_deadline_was_in_time() -> None:
    in_time = confirm(part(phase=Phase.WRITTEN, written_at=11.0), 11.2)
    assert (in_time.outcome, in_time.detail) == (AckOutcome.ACKNOWLEDGED, "")
    assert in_time.acknowledged_at == 11.2
    late = confirm(part(phase=Phase.WRITTEN, written_at=11.001), 11.2)
    assert (late.outcome, late.acknowledged_at) == (AckOutcome.LATE, 11.2)
    assert "the controller's default may stand" in late.detail
    unknown = confirm(part(phase=Phase.WRITTEN), 11.2)
    assert unknown.part is not None
    assert unknown.part.written_at == 11.2
    assert unknown.outcome is AckOutcome.LATE


def test_a_late_result_that_nobody_takes_stays_late() -> None:
    _, (lost,) = due(state(part(phase=Phase.WRITTEN, written_at=11.5)), 13.5)
    assert (lost.outcome, lost.acknowledged_at) == (AckOutcome.LATE, None)
    assert lost.detail.endswith("no ResultAckSeq")


def test_what_time_brings_comes_at_its_moment_and_once() -> None:
    assert due(state(part()), 10.899)[1] == []
    after, (ask,) = due(state(part()), 10.9)
    assert ask.reason is ReasonCode.NO_DECISION
    assert due(after, 10.95)[1] == [], "it is asked once"
    assert due(state(part(asked=True)), 10.95)[1] == []
    queued = state(part(phase=Phase.QUEUED))
    assert due(queued, 10.999)[1] == []
    after, (late,) = due(queued, 11.0)
    assert late.outcome is AckOutcome.LATE
    assert due(after, 11.1)[1] == []
    missed = state(part(phase=Phase.QUEUED, missed=True))
    assert due(missed, 99.0) == (missed, [])


def test_a_result_counts_as_unacknowledged_after_its_time_and_not_while_it_is_written() -> None:
    written = state(part(phase=Phase.WRITTEN, written_at=10.0))
    assert due(written, 11.999)[1] == []
    after, (lost,) = due(written, 12.0)
    assert lost.outcome is AckOutcome.UNACKNOWLEDGED
    assert after.parts[KEY].phase is Phase.REPORTED
    writing = state(part(phase=Phase.WRITING, written_at=10.0))
    assert due(writing, 99.0) == (writing, [])
    unwritten = state(part(phase=Phase.WRITTEN))
    assert due(unwritten, 99.0) == (unwritten, [])


def test_a_fault_reset_frees_the_places_of_what_was_lost() -> None:
    lost, waiting = part(4, Phase.REPORTED, written_at=1.0), part(5, Phase.QUEUED)
    after, commands = release(state(lost, waiting), 10.5)
    assert after.parts.keys() == {waiting.key}
    assert isinstance(commands[0], hs.WriteResult)


def test_a_recipe_is_found_by_its_number_or_by_its_name() -> None:
    recipes = {7: {"product": "tile", "name": "Tile 30"}, 8: {"product": "frame"}}
    config = HandshakeConfig.model_validate({"recipes": recipes})
    assert [config.recipe_number(n) for n in (7, 8, 9)] == [7, 8, None]
    assert config.recipe_number(0, "Tile 30") == 7
    assert config.recipe_number(0, "frame") == 8
    assert config.recipe_number(0, "Tile") is None
    assert config.recipe_number(0, "") is None
    assert config.recipe_number(8, "Tile 30") == 8, "a number goes before a name"


def test_a_takt_of_an_hour_is_a_window_and_of_more_is_none() -> None:
    config = HandshakeConfig()
    assert config.window_fault(3_600_000) == ""
    assert "over an hour" in config.window_fault(3_600_001)
