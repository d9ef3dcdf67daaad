"""Rules of the handshake's triggers: captured, missed, held, or of another run."""

from dataclasses import replace

import pytest

from connectors.handshake import PartKey, Phase, step
from connectors.handshake import values as hs
from connectors.handshake.machine import trigger_seen_of
from connectors.handshake.results import (
    decided,
)
from connectors.handshake.sequence import LAST, steps
from connectors.handshake.signals import TRIGGER_GROUP, Signal
from connectors.handshake.triggers import exposure_ended, miss, resynchronise, trigger_seen
from streams.codes import AckOutcome, FaultCode, ReasonCode, ResultCode
from tests.connectors.handshake_state import CONFIG, KEY, part, shown, state, told, trigger
from tests.connectors.world import frame_id


def seen(seq: int, boot: int = 1, readable: bool = True) -> hs.TriggerSeen:
    return hs.TriggerSeen(trigger(seq, boot), frame_id(trigger(seq, boot)), readable)


def test_a_trigger_that_was_read_is_captured_and_one_that_was_not_is_held() -> None:
    after, commands = trigger_seen(state(), 10.0, seen(6))
    assert [type(c) for c in commands] == [hs.Capture]
    assert (after.exposing, after.missed_count) == (PartKey(1, 6), 0)
    after, (hold,) = trigger_seen(state(), 10.0, seen(6, readable=False))
    assert (hold.reason, hold.part.missed, hold.part.asked) == (
        ReasonCode.MISSED_TRIGGER,
        True,
        True,
    )
    assert hold.why == "a signal of its group has no good quality, and the log names it"
    assert hold.part.deadline == 11.0, "its window is not over"
    assert after.missed_count == 1


@pytest.mark.parametrize("last", [65_535, LAST])
def test_the_trigger_behind_the_wrap_is_the_next_however_wide_the_node_is(last: int) -> None:
    before = state(part(last), last_trigger_seq=last, trigger_last=last)
    after, commands = trigger_seen(before, 10.0, seen(1))
    assert [type(c) for c in commands] == [hs.Capture]
    assert (after.last_trigger_seq, after.missed_count) == (1, 0)
    assert after.parts.keys() == {PartKey(1, last), PartKey(1, 1)}
    after, commands = trigger_seen(before, 10.0, seen(2))
    assert [(type(c), c.part.key.trigger_seq) for c in commands] == [
        (hs.Decide, 1),
        (hs.Capture, 2),
    ]
    assert after.missed_count == 1
    values = shown(trigger_seq=2, trigger_ack_seq=last, missed_count=7)
    away = replace(before, online=False, alive=False)
    after, commands = step(away, 10.5, hs.Connected(values, trigger_last=last))
    held = [c.part.key.trigger_seq for c in commands if isinstance(c, hs.Decide)]
    assert (held, after.last_trigger_seq, after.missed_count) == ([1, 2], 2, 9)
    assert PartKey(1, last) in after.parts


@pytest.mark.parametrize("now", [0, 1, 40_000])
def test_a_narrow_counter_that_falls_far_from_its_wrap_began_anew(now: int) -> None:
    before = state(last_trigger_seq=40_001, trigger_last=65_535)
    after, commands = trigger_seen(before, 10.0, seen(now))
    assert [type(c) for c in commands] == [hs.Resynchronised]
    assert (after.last_trigger_seq, after.missed_count) == (now, 0)


def test_a_number_whose_part_of_a_lap_before_is_not_answered_is_not_captured_again() -> None:
    kept = part(1, Phase.REPORTED, result_seq=1, written_at=9.0)
    before = state(kept, last_trigger_seq=65_535, trigger_last=65_535)
    after, commands = trigger_seen(before, 10.0, seen(1))
    assert (commands, after.parts, after.missed_count) == ([], {kept.key: kept}, 1)


def test_a_trigger_while_not_ready_says_why_it_was_missed() -> None:
    _, (hold,) = trigger_seen(state(alive=False), 10.0, seen(6))
    assert hold.why == "the gateway was not ready: PlcHeartbeat does not move"


def test_a_takt_that_gives_no_window_is_a_fault_and_a_hold_until_the_next_trigger() -> None:
    own = CONFIG.model_copy(update={"result_window_ms": None})
    before = replace(state(takt_ms=800), config=own)
    for takt, words in ((0, "TaktMs is 0"), (3_600_001, "over an hour"), (100, "no more than")):
        bad = seen(6)._replace(trigger=replace(trigger(6), takt_ms=takt))
        after, (hold,) = trigger_seen(before, 10.0, bad)
        assert (after.fault_code, after.ready) == (FaultCode.NO_WINDOW, True)
        assert (hold.reason, hold.part.missed) == (ReasonCode.MISSED_TRIGGER, True)
        assert words in hold.why
        assert hold.part.deadline == 10.8, "as the part before"
        good = seen(7)._replace(trigger=replace(trigger(7), takt_ms=500))
        healed, commands = trigger_seen(after, 11.0, good)
        assert (healed.fault_code, [type(c) for c in commands]) == (FaultCode.NONE, [hs.Capture])
        assert healed.parts[PartKey(1, 7)].deadline == 11.5
        unread, _ = trigger_seen(after, 11.0, good._replace(readable=False))
        assert unread.fault_code is FaultCode.NO_WINDOW, "nobody knows yet"
    _, (hold,) = trigger_seen(replace(state(takt_ms=0), config=own), 10.0, bad)
    assert hold.part.deadline == 11.0
    _, (capture,) = trigger_seen(state(), 10.0, bad)
    assert isinstance(capture, hs.Capture), "the settings state the window"


def test_the_window_runs_from_the_trigger_and_not_from_its_notification() -> None:
    old = seen(6)._replace(age=hs.TriggerAge(0.3, 0.4))
    after, _ = trigger_seen(state(), 10.0, old)
    taken = after.parts[PartKey(1, 6)]
    assert (taken.triggered_at, taken.deadline) == (9.7, 10.6)
    _, (hold,) = trigger_seen(state(alive=False), 10.0, old)
    assert (hold.part.triggered_at, hold.part.deadline) == (9.7, 10.6)
    over, _ = trigger_seen(state(), 10.0, seen(6)._replace(age=hs.TriggerAge(2.0, 2.0)))
    _, commands = step(over, 10.0, hs.Notice.TICK)
    assert hs.Decide in map(type, commands), "nobody waits for a window that is over"


def test_the_same_trigger_again_is_none_and_an_older_one_is_a_cold_start() -> None:
    before = state(part())
    assert trigger_seen(before, 10.0, seen(5)) == (before, [])
    zero = state(last_trigger_seq=0)
    assert trigger_seen(zero, 10.0, seen(0)) == (zero, [])
    after, commands = trigger_seen(before, 10.0, seen(4))
    assert isinstance(commands[0], hs.Resynchronised)
    assert (after.last_trigger_seq, after.parts) == (4, {})
    _, commands = trigger_seen(before, 10.0, seen(5, boot=2))
    assert isinstance(commands[0], hs.Resynchronised), "the same number of another run is no repeat"
    offline = state(online=False)
    assert trigger_seen(offline, 10.0, seen(6)) == (offline, [])


def test_a_cold_start_forgets_what_was_closed_in_the_same_run_only() -> None:
    closed = {PartKey(1, 3): told(3).result_id}
    same, _ = resynchronise(state(closed=closed, overrun=True), 1, 0)
    assert (same.closed, same.overrun) == ({}, False)
    other, _ = resynchronise(state(closed=closed), 2, 0)
    assert other.closed == closed


def test_parts_of_before_a_cold_start_are_reported_once() -> None:
    told_before = part(4, Phase.REPORTED)
    waiting, open_ = part(5, Phase.QUEUED), part(6)
    _, commands = resynchronise(state(told_before, waiting, open_), 2, 0)
    assert [(c.key, c.outcome) for c in commands[1:]] == [(waiting.key, AckOutcome.OLD_BOOT)]


def test_a_jump_holds_the_newest_up_to_the_limit_and_counts_all() -> None:
    limited = CONFIG.model_copy(update={"missed_limit": 3})
    after, commands = trigger_seen(replace(state(), config=limited), 10.0, seen(11))
    held = [c.part.key.trigger_seq for c in commands if isinstance(c, hs.Decide)]
    assert held == [8, 9, 10]
    assert after.missed_count == 5
    assert commands[0].why == "TriggerSeq jumped from 5 to 11"


def test_a_missed_trigger_is_held_once_and_no_more_than_the_limit_wait() -> None:
    limited = CONFIG.model_copy(update={"missed_limit": 2})
    before = replace(state(part(5, missed=True)), config=limited)
    after, commands = miss(before, 10.0, [trigger(5), trigger(6), trigger(7)], 3, "why")
    assert [c.part.key.trigger_seq for c in commands] == [6]
    assert after.missed_count == 3
    assert miss(state(part()), 10.0, [trigger(5)], 1, "why")[1] == [], "it is known already"
    _, (expired,) = miss(state(), 10.0, [trigger(6)], 1, "why", heard_at=5.0)
    assert expired.part.deadline == 10.0


def test_a_picture_that_failed_is_held_once() -> None:
    failed = hs.ExposureEnded(KEY, captured=False, why="no light")
    after, (hold,) = exposure_ended(state(part(), exposing=KEY), failed)
    assert (hold.reason, hold.why, hold.part.asked) == (ReasonCode.CAPTURE_FAILED, "no light", True)
    assert (after.exposing, after.exposure_done_seq) == (None, 5)
    assert after.parts[KEY].asked
    assert exposure_ended(state(part(asked=True)), failed)[1] == []
    assert exposure_ended(state(part(phase=Phase.QUEUED)), failed)[1] == []
    assert exposure_ended(state(part()), hs.ExposureEnded(KEY))[1] == []


def test_a_trigger_group_is_told_whole_partly_or_not_at_all() -> None:
    frame = frame_id(trigger())
    whole = {signal: shown()[signal] for signal in TRIGGER_GROUP}
    found = trigger_seen_of(whole, frame)
    assert found is not None
    assert found.readable
    partly = trigger_seen_of({Signal.PLC_BOOT_ID: 1, Signal.TRIGGER_SEQ: 5}, frame)
    assert partly is not None
    assert not partly.readable
    assert (partly.trigger.trigger_seq, partly.trigger.part_id) == (5, "")
    assert trigger_seen_of({Signal.TRIGGER_SEQ: 5}, frame) is None


def test_half_the_ring_ahead_is_ahead_and_more_is_behind() -> None:
    half = LAST // 2
    assert steps(1, 1 + half) == half
    assert steps(1, 2 + half) == half + 1 - LAST
    assert steps(0, 7) == 7
    assert steps(7, 0) == -7


def test_times_of_the_settings_are_told_in_seconds() -> None:
    assert (CONFIG.ack_timeout_s, CONFIG.heartbeat_s, CONFIG.dead_after_s) == (2.0, 0.5, 1.5)
    assert (CONFIG.watchdog_margin_s, CONFIG.window_s(800)) == (0.1, 1.0)


def test_a_decision_over_the_limit_is_an_overrun_until_the_reset() -> None:
    limited = CONFIG.model_copy(update={"unacknowledged_limit": 1})
    full = replace(state(part(4, Phase.WRITTEN, written_at=10.0), part(5)), config=limited)
    after, (lost,) = decided(full, 10.5, hs.Decided(KEY, part().frame_id, told()))
    assert (lost.outcome, after.overrun) == (AckOutcome.UNACKNOWLEDGED, True)
    assert after.faults == {FaultCode.RESULT_OVERRUN}
    stopped, asked = replace(after, stop_request=True), hs.CounterMoved(Signal.FAULT_RESET_SEQ, 1)
    first, _ = step(stopped, 10.6, asked)
    assert (first.overrun, first.fault_reset_seq) == (True, 1), "nobody knows that it moved"
    reset, _ = step(replace(stopped, fault_reset_seq=0), 10.6, asked)
    assert (reset.overrun, reset.stop_request, reset.faults) == (False, False, frozenset())
    assert told(code=ResultCode.HOLD).code is ResultCode.HOLD
