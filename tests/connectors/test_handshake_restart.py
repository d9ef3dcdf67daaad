"""What a gateway believes after a restart or a reconnect, rule by rule."""

from dataclasses import replace

import pytest

from connectors.handshake import PartKey, Phase, step
from connectors.handshake import values as hs
from connectors.handshake.machine import restore
from connectors.handshake.results import read_back
from connectors.handshake.signals import Signal
from connectors.handshake.triggers import forgotten, missed_while_away
from streams.codes import AckOutcome, ReasonCode
from tests.connectors.handshake_state import CONFIG, KEY, part, shown, state, told, trigger


def connected(before: hs.Part | None = None, values: dict | None = None, **changes: object):
    parts = [] if before is None else [before]
    made = state(*parts, online=False, alive=False, **changes)
    return step(made, 10.5, hs.Connected(shown(**(values or {}))))


# --- What the journal gives back ----------------------------------------------------------------


def test_results_with_a_number_come_before_those_without_and_holds_wait_apart() -> None:
    ordered = part(3, Phase.WRITING, result_seq=8)
    ordered_hold = part(4, Phase.QUEUED, result_seq=9, missed=True)
    waiting = part(5, Phase.QUEUED)
    hold = part(6, Phase.QUEUED, missed=True)
    open_ = part(7)
    parts = [waiting, hold, open_, ordered, ordered_hold]
    closed = {PartKey(1, 1): told(1).result_id}
    found = restore(CONFIG, 1, 7, parts, closed, result_seq=9)
    assert found.queue == (ordered.key, ordered_hold.key, waiting.key)
    assert found.backlog == (hold.key,)
    assert found.parts.keys() == {p.key for p in parts}
    assert (found.result_seq, found.result_seq_known, found.memory_whole) == (9, True, True)
    assert (found.closed, found.last_trigger_seq, found.plc_boot_id) == (closed, 7, 1)


def test_a_journal_that_does_not_say_the_number_is_told_apart_from_one_that_says_zero() -> None:
    unsaid = restore(CONFIG, 1, 5, [], {})
    assert (unsaid.result_seq, unsaid.result_seq_known) == (0, False)
    zero = restore(CONFIG, 1, 5, [], {}, result_seq=0, whole=False)
    assert (zero.result_seq_known, zero.memory_whole) == (True, False)


# --- Read back ----------------------------------------------------------------------------------


def written(**changes: object) -> hs.Part:
    return part(phase=Phase.WRITING, result_seq=8, ordered_at=10.2, **changes)


def test_a_result_beyond_the_wrap_of_a_narrow_number_is_written_again() -> None:
    """The controller has the one before it: by 32 bits its number would lie far ahead."""
    lost = part(phase=Phase.WRITING, result_seq=1, ordered_at=10.2)
    shows = {"result_seq": 65535, "result_trigger_seq": 4, "result_ack_seq": 65535}
    made = state(lost, online=False, alive=False, result_seq=1)
    after, commands = step(made, 10.5, hs.Connected(shown(**shows), result_last=65535))
    again = [one.part.result_seq for one in commands if isinstance(one, hs.WriteResult)]
    assert (again, after.result_seq) == ([1], 1)
    assert not [one for one in commands if isinstance(one, hs.ResultReport | hs.MemoryBehind)]


def test_a_result_that_is_shown_and_acknowledged_is_closed() -> None:
    after, (ack,) = read_back(state(written()), 10.5, last=8, of_trigger=5, ack=8)
    assert (ack.outcome, ack.acknowledged_at) == (AckOutcome.ACKNOWLEDGED, 10.5)
    assert ack.part.written_at == 10.2, "the order stands for a write whose end nobody saw"
    assert (after.parts, after.result_seq) == ({}, 8)


def test_a_result_that_is_shown_and_not_acknowledged_waits_in_front() -> None:
    after, commands = read_back(state(written(), queue=()), 10.5, last=8, of_trigger=5, ack=7)
    assert commands == []
    found = after.parts[KEY]
    assert (found.phase, found.written_at, after.queue) == (Phase.WRITTEN, 10.2, (KEY,))


def test_when_it_was_written_is_kept_where_it_is_known() -> None:
    known = written(written_at=10.3)
    after, _ = read_back(state(known), 10.5, last=8, of_trigger=5, ack=7)
    assert after.parts[KEY].written_at == 10.3
    unknown = replace(written(), ordered_at=None)
    after, _ = read_back(state(unknown), 10.5, last=8, of_trigger=5, ack=7)
    assert after.parts[KEY].written_at == 10.5


def test_an_acknowledgement_of_before_the_counters_began_anew_takes_no_result() -> None:
    """The controller kept ResultAckSeq over its restart, and lost ResultSeq."""
    after, commands = read_back(state(written()), 10.5, last=8, of_trigger=5, ack=500)
    assert (commands, after.parts[KEY].phase, after.queue) == ([], Phase.WRITTEN, (KEY,))


def test_a_result_behind_the_one_that_is_shown_was_taken() -> None:
    after, (ack,) = read_back(state(written()), 10.5, last=9, of_trigger=6, ack=7)
    assert (ack.outcome, after.parts) == (AckOutcome.ACKNOWLEDGED, {})


@pytest.mark.parametrize(("last", "of_trigger"), [(7, 5), (8, 4)])
def test_a_result_that_never_arrived_is_written_again(last: int, of_trigger: int) -> None:
    """Its number may stand there for another trigger: that of a gateway before."""
    lost = written(written_at=10.3)
    after, commands = read_back(state(lost, queue=()), 10.5, last, of_trigger, ack=last)
    found = after.parts[KEY]
    assert commands == []
    assert (found.phase, found.result_seq, found.written_at) == (Phase.QUEUED, 0, None)
    assert (after.queue, after.result_seq) == ((KEY,), last)


def test_what_was_reported_is_not_reported_again() -> None:
    reported = replace(written(), phase=Phase.REPORTED)
    after, commands = read_back(state(reported), 10.5, last=8, of_trigger=5, ack=8)
    assert (commands, after.parts) == ([], {})
    after, commands = read_back(state(reported), 10.5, last=8, of_trigger=5, ack=7)
    assert (commands, after.parts[KEY].phase) == ([], Phase.REPORTED)
    after, commands = read_back(state(reported), 10.5, last=7, of_trigger=4, ack=7)
    assert (commands, after.parts) == ([], {})


def test_parts_without_a_number_are_none_of_the_controllers() -> None:
    for untouched in (part(), part(phase=Phase.QUEUED), part(phase=Phase.WRITING)):
        before = state(untouched)
        after, commands = read_back(before, 10.5, last=8, of_trigger=5, ack=8)
        assert (after.parts, after.queue, commands) == (before.parts, before.queue, [])
    queued = part(phase=Phase.QUEUED, result_seq=8)
    assert read_back(state(queued), 10.5, 8, 5, 8)[0].parts == {KEY: queued}


@pytest.mark.parametrize("where", ["queue", "backlog"])
def test_a_result_to_write_again_keeps_the_place_that_it_has(where: str) -> None:
    other = PartKey(1, 4)
    places = {"queue": (), "backlog": (), where: (other, KEY)}
    before = state(written(), part(4, Phase.QUEUED), **places)
    after, _ = read_back(before, 10.5, last=7, of_trigger=4, ack=7)
    assert getattr(after, where) == (other, KEY)
    assert KEY not in getattr(after, "backlog" if where == "queue" else "queue")


# --- What a damaged or copied journal lacks -----------------------------------------------------


def test_the_later_of_journal_and_controller_counts() -> None:
    before = state(part(4), part(5, Phase.QUEUED), written(key=PartKey(1, 3)), last_trigger_seq=5)
    after, (behind,) = forgotten(before, acknowledged=9, current=12, why="damaged")
    assert {p.key.trigger_seq for p in behind.dropped} == {4, 5}
    assert after.parts.keys() == {PartKey(1, 3)}, "what surely was written is waited for"
    assert (behind.why, after.last_trigger_seq) == ("damaged", 9)
    assert forgotten(before, 3, 12, "damaged")[0].last_trigger_seq == 5


def test_an_acknowledgement_beyond_the_current_trigger_is_of_another_run() -> None:
    after, _ = forgotten(state(), acknowledged=90, current=7, why="damaged")
    assert after.last_trigger_seq == 7
    after, _ = forgotten(state(), acknowledged=7, current=7, why="damaged")
    assert after.last_trigger_seq == 7


def test_a_controller_ahead_of_the_journal_is_believed_and_one_beside_it_is_not_doubted() -> None:
    ahead = {"result_seq": 9, "result_trigger_seq": 5, "trigger_ack_seq": 5}
    after, commands = connected(part(), ahead, result_seq=8)
    (behind,) = [c for c in commands if isinstance(c, hs.MemoryBehind)]
    assert behind.why == "ResultSeq is 9, the journal ends at 8"
    assert not after.parts
    assert (after.result_seq, after.result_seq_known, after.memory_whole) == (9, True, True)
    for sound in ({"result_seq": 8}, {"result_seq": 9, "result_seq_known": False}):
        _, commands = connected(part(), {"result_seq": 8, "trigger_ack_seq": 5}, **sound)
        assert not [c for c in commands if isinstance(c, hs.MemoryBehind)]
    _, commands = connected(part(), {"trigger_ack_seq": 5}, memory_whole=False)
    assert [c.why for c in commands if isinstance(c, hs.MemoryBehind)] == ["the journal is damaged"]


def test_triggers_that_another_gateway_acknowledged_are_not_missed_by_one_that_served_before() -> (
    None
):
    """Its own late write may have put back the number of the other one's results."""
    shown = {"result_seq": 8, "trigger_ack_seq": 7, "trigger_seq": 8}
    after, commands = connected(part(), shown, result_seq=8, has_served=True)
    assert [c.why for c in commands if isinstance(c, hs.MemoryBehind)] == [
        "TriggerAckSeq is 7, this gateway's last is 5: another one served"
    ]
    assert [p.key.trigger_seq for p in after.parts.values()] == [8], "the one that nobody took"
    _, commands = connected(part(), shown, result_seq=8)
    assert not [c for c in commands if isinstance(c, hs.MemoryBehind)], "a journal may lack a line"
    beyond = {**shown, "trigger_ack_seq": 90}
    _, commands = connected(part(), beyond, result_seq=8, has_served=True)
    assert not [c for c in commands if isinstance(c, hs.MemoryBehind)], "it is of another run"


# --- A reconnect --------------------------------------------------------------------------------


def test_a_part_whose_exposure_was_cut_short_is_held_and_others_are_not() -> None:
    _, commands = connected(part(asked=True))
    (hold,) = [c for c in commands if isinstance(c, hs.Decide)]
    assert hold.reason is ReasonCode.CAPTURE_FAILED
    _, commands = connected(part(asked=True, missed=True))
    assert [c.reason for c in commands if isinstance(c, hs.Decide)] == [ReasonCode.MISSED_TRIGGER]
    quiet = (
        (part(), {}),
        (part(asked=True), {"exposing": KEY}),
        (part(phase=Phase.QUEUED, asked=True), {}),
    )
    for one, changes in quiet:
        assert not [c for c in connected(one, **changes)[1] if isinstance(c, hs.Decide)]


def test_triggers_while_away_are_missed_and_their_windows_over() -> None:
    after, commands = missed_while_away(state(), 11.5, trigger(7), heard_at=10.2)
    held = [c for c in commands if isinstance(c, hs.Decide)]
    assert [(c.part.key.trigger_seq, c.part.trigger.part_id) for c in held] == [
        (6, ""),
        (7, "part-7"),
    ]
    assert {c.part.deadline for c in held} == {11.5}
    assert (after.missed_count, after.last_trigger_seq, after.exposure_done_seq) == (2, 7, 7)


def test_after_a_short_cut_the_window_counts_from_when_the_controller_was_heard() -> None:
    _, commands = missed_while_away(state(), 10.5, trigger(7), heard_at=10.2)
    held = [c.part for c in commands if isinstance(c, hs.Decide)]
    assert [part.deadline for part in held] == [pytest.approx(11.2)] * 2


def test_the_exposure_that_is_under_way_is_not_told_as_done() -> None:
    after, _ = missed_while_away(state(exposing=KEY), 10.5, trigger(7), 10.0)
    assert after.exposure_done_seq == 0
    after, _ = missed_while_away(state(exposure_done_seq=3), 10.5, trigger(5), 10.0)
    assert after.exposure_done_seq == 3, "nothing was missed"


def test_a_first_contact_takes_over_what_the_controller_remembers() -> None:
    values = {"trigger_ack_seq": 4, "exposure_done_seq": 4, "missed_count": 2, "result_seq": 6}
    after, commands = connected(None, values, plc_boot_id=None, last_trigger_seq=0)
    assert (after.plc_boot_id, after.last_trigger_seq, after.missed_count) == (1, 5, 3)
    assert [c.part.key for c in commands if isinstance(c, hs.Decide)] == [PartKey(1, 5)]
    assert (after.result_seq, after.online, after.alive) == (6, True, False)
    unread, _ = connected(None, {"trigger_ack_seq": 0}, plc_boot_id=None, last_trigger_seq=0)
    assert (unread.last_trigger_seq, unread.missed_count) == (5, 0)


@pytest.mark.parametrize("now", [0, 7])
def test_what_was_acknowledged_before_a_cold_start_that_nobody_saw_counts_no_more(now: int) -> None:
    """As for a stand-by without a journal: the controller began anew and kept its registers."""
    values = {"trigger_seq": now, "trigger_ack_seq": 500, "exposure_done_seq": 500}
    fresh = {"plc_boot_id": None, "last_trigger_seq": 0}
    after, commands = connected(None, {**values, "missed_count": 2}, **fresh)
    assert (after.last_trigger_seq, after.exposure_done_seq, after.missed_count) == (now, now, 0)
    assert [type(command) for command in commands] == [hs.WriteStatus, hs.Resynchronised]


@pytest.mark.parametrize(
    ("last", "now", "cold"),
    [(5, 5, False), (5, 6, False), (5, 4, True), (5, 0, True), (0, 0, False)],
)
def test_a_counter_that_went_back_is_a_cold_start(last: int, now: int, cold: bool) -> None:
    _, commands = connected(None, {"trigger_seq": now}, last_trigger_seq=last)
    assert any(isinstance(c, hs.Resynchronised) for c in commands) is cold


def test_a_stop_that_was_asked_for_stands_over_a_reconnect() -> None:
    assert connected(stop_request=True)[0].stop_request
    assert connected(values={"stop_request": True})[0].stop_request
    assert not connected()[0].stop_request


def test_status_that_changed_is_written_first_and_only_what_changed() -> None:
    before = state(vision_heartbeat=3)
    after, commands = step(before, 10.1, hs.Notice.STOP_REQUESTED)
    assert commands == [hs.WriteStatus({Signal.STOP_REQUEST: True})]
    assert step(after, 10.2, hs.Notice.STOP_REQUESTED)[1] == []
    _, (first, *_) = connected()
    assert first.values.keys() == after.outputs.keys(), "after a reconnect all of them"


def test_the_heartbeat_moves_with_the_first_write() -> None:
    """A controller that believes Ready must find the gateway alive in the same moment."""
    after, (first, *_) = connected(values={"vision_heartbeat": 41})
    assert first.values[Signal.VISION_HEARTBEAT] == 42
    assert after.beat_at == 10.5
