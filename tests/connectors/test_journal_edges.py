"""The journal at its edges: what its lines add up to, when it is written anew, what it forgets."""

from uuid import UUID

import pytest

from connectors.gateway.journal_entries import (
    JournalEntry,
    Recovered,
    RunLine,
    StepLine,
    apply_line,
    encode_line,
    entry_of,
    recover,
    replay,
    snapshot_lines,
)
from connectors.gateway.journal_frames import framed
from connectors.handshake import PartKey, Phase, step
from connectors.handshake import values as hs
from tests.connectors.handshake_state import part, shown, told, trigger
from tests.connectors.journal_lines import CONFIG, entry, known

# --- What lines add up to -----------------------------------------------------------------------


def test_a_minted_part_is_neither_missed_nor_captured_nor_published_nor_closed() -> None:
    made = entry()
    assert (made.missed, made.captured, made.published, made.closed) == (False,) * 4
    assert JournalEntry.minted(trigger(), [UUID(int=1)], 0.0, 1.0, missed=True).missed
    assert not RunLine(t="run", b=1, s=1).new


def test_lines_are_frozen_and_read_by_name_and_by_letter() -> None:
    made = entry()
    with pytest.raises(ValueError, match="frozen"):
        made.closed = True  # type: ignore[misc]
    assert JournalEntry.model_validate_json(encode_line(made)) == made
    assert b'"k":' in encode_line(made)
    assert b"missed" not in encode_line(made)
    assert JournalEntry.model_validate(made.model_dump()) == made


def test_a_new_run_voids_parts_of_its_number_and_keeps_others() -> None:
    before = known(entry(1, boot=1), entry(2, boot=2))
    apply_line(before, RunLine(t="run", b=1, s=9))
    assert len(before.entries) == 2, "the same run goes on"
    apply_line(before, RunLine(t="run", b=1, s=0, new=True))
    assert before.entries.keys() == {PartKey(2, 2)}
    assert (before.plc_boot_id, before.last_trigger_seq) == (1, 0)


def test_a_run_that_does_not_say_the_result_keeps_what_is_known() -> None:
    found = known(RunLine(t="run", b=1, s=1, r=8), RunLine(t="run", b=1, s=2))
    assert found.result_seq == 8
    assert known(RunLine(t="run", b=1, s=1, r=8), RunLine(t="run", b=1, s=2, r=0)).result_seq == 0


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([entry(1, result_seq=7, t="part")], 7),
        ([entry(1, result_seq=7, t="part"), entry(2, result_seq=6, t="part")], 7),
        ([entry(1, result_seq=6, t="part"), entry(2, result_seq=7, t="part")], 7),
        ([entry(1, result_seq=0, t="part")], None),
        ([entry(1, boot=9, result_seq=7, t="part")], None),
        ([entry(1, result_seq=7, t="part"), entry(2, result_seq=0, t="part")], 7),
        ([entry(1, result_seq=7)], None),
    ],
)
def test_the_newest_result_of_this_run_is_the_one_that_counts(
    parts: list[JournalEntry], expected: int | None
) -> None:
    assert known(RunLine(t="run", b=1, s=1), *parts).result_seq == expected


def test_a_snapshot_says_the_same_in_fewer_lines() -> None:
    whole = known(RunLine(t="run", b=1, s=5, r=3), entry(5), entry(6, boot=2))
    again, _, _ = replay(framed(snapshot_lines(whole), 0))
    assert (again.plc_boot_id, again.last_trigger_seq, again.result_seq) == (2, 6, 3)
    assert again.entries.keys() == whole.entries.keys()
    assert list(snapshot_lines(Recovered())) == []
    nobody = Recovered(entries={entry(5).key: entry(5)})
    assert len(list(snapshot_lines(nobody))) == 1, "no run was ever seen"


def test_a_restart_counts_on_from_the_moments_of_the_trigger() -> None:
    """Triggered 2 s before the restart, ordered 1.5 and written 1.2 s before it."""
    step = {"captured": True, "result_seq": 4, "ordered_at": 1000.5, "written_at": 1000.8}
    found = recover(CONFIG, known(entry(**step)), now=50.0, wall=1002.0)
    (one,) = found.parts.values()
    assert (one.triggered_at, one.deadline) == (48.0, 49.0)
    assert one.ordered_at == pytest.approx(48.5)
    assert one.written_at == pytest.approx(48.8)
    assert (one.phase, one.asked) == (Phase.WRITTEN, False)


@pytest.mark.parametrize(
    ("changes", "phase", "asked"),
    [
        ({}, Phase.OPEN, True),
        ({"captured": True}, Phase.OPEN, False),
        ({"captured": True, "missed": True}, Phase.OPEN, True),
        ({"captured": True, "verdict": told()}, Phase.QUEUED, False),
        ({"captured": True, "verdict": told(), "result_seq": 3}, Phase.WRITING, False),
    ],
)
def test_where_a_part_stands_after_a_restart(
    changes: dict[str, object], phase: Phase, asked: bool
) -> None:
    (one,) = recover(CONFIG, known(entry(**changes)), 50.0, 1000.0).parts.values()
    assert (one.phase, one.asked) == (phase, asked)


def test_parts_that_are_closed_told_or_of_another_run_are_open_no_more() -> None:
    closed = entry(1, closed=True, verdict=told(1))
    reported = entry(2, acknowledgement="{}", verdict=told(2))
    unjudged = entry(3, closed=True)
    other = entry(4, boot=7)
    found = recover(
        CONFIG, known(other, closed, reported, unjudged, RunLine(t="run", b=1, s=4)), 1.0, 1.0
    )
    assert found.parts == {}
    assert found.closed.keys() == {closed.key, reported.key}
    assert found.memory_whole
    damaged = known()
    damaged.damage.append("torn")
    assert not recover(CONFIG, damaged, 1.0, 1.0).memory_whole


# --- A part's entry -----------------------------------------------------------------------------


def test_a_part_is_entered_with_a_frame_for_each_shot() -> None:
    shown = part(frame_id=UUID(int=9))
    alone = entry_of(shown, 1, 10.5, 1000.0, "")
    assert (alone.frame_id, alone.shots, alone.missed) == (UUID(int=9), (), False)
    three = entry_of(shown, 3, 10.5, 1000.0, "")
    assert three.frame_id == UUID(int=9)
    assert len({three.frame_id, *three.shots}) == 3
    minted = entry_of(part(frame_id=None), 1, 10.5, 1000.0, "")
    assert minted.frame_id.version == 7


def test_a_missed_part_has_one_frame_however_many_shots_there_are() -> None:
    missed = entry_of(part(missed=True), 3, 10.5, 1000.0, "")
    assert (missed.missed, missed.shots) == (True, ())


def test_an_entry_tells_the_trigger_by_both_clocks() -> None:
    """The part was triggered at 10 s of the monotonic clock, half a second ago; it has 1 s."""
    entered = entry_of(part(), 1, 10.5, 1000.0, "boot-1")
    assert (entered.triggered_at, entered.window_s) == (999.5, 1.0)
    assert entered.clock == ("boot-1", 10.0)
    assert entry_of(part(), 1, 10.5, 1000.0, "").clock is None


def test_the_parts_tell_the_result_number_where_nothing_else_does() -> None:
    """Numbers wrap: of a journal that states none, what is the same or behind changes nothing."""
    for seq, expected in ((5, 5), (4, 5), (6, 6), (0, 5)):
        parts = entry(4, t="part", result_seq=5), entry(5, t="part", result_seq=seq)
        assert known(RunLine(t="run", b=1, s=5), *parts).result_seq == expected


@pytest.mark.parametrize("last", [65_535, 0xFFFFFFFF])
def test_a_compaction_at_the_wrap_of_the_result_number_leaves_it_as_it_is(last: int) -> None:
    """However wide the controller's node is: by 32 bits a narrow one goes far back at its wrap,
    and the parts before it were taken for the newest, so that a restart dropped what was open."""
    whole = known(RunLine(t="run", b=1, s=3, r=last - 1))
    for seq, result in enumerate((last - 1, last, 1, 2), start=4):
        apply_line(whole, entry(seq))
        apply_line(whole, StepLine(t="writing", k=entry(seq).key, r=result, v=told(seq)))
    apply_line(whole, entry(8))
    again, _, _ = replay(framed(snapshot_lines(whole), 0))
    assert again.result_seq == 2
    state = recover(CONFIG, again, now=50.0, wall=1000.0)
    values = shown(result_seq=2, result_trigger_seq=7, trigger_seq=8, trigger_ack_seq=8)
    after, commands = step(state, 50.0, hs.Connected(values, result_last=last))
    assert not [one for one in commands if isinstance(one, hs.MemoryBehind)]
    assert PartKey(1, 8) in after.parts


def test_lines_hold_what_is_not_as_usual() -> None:
    assert encode_line(RunLine(t="run", b=7, s=41)) == b'{"t":"run","b":7,"s":41}'


def test_a_published_part_is_so_after_a_restart() -> None:
    made = entry()
    found = known(made, StepLine(t="published", k=made.key))
    assert found.entries[made.key].published
    assert not found.entries[made.key].captured


def test_triggers_that_the_journal_lacks_came_after_its_newest() -> None:
    """After a short restart their windows are not over, whatever state the parts before are in."""
    first, second = entry(5), entry(6, triggered_at=1004.0)
    found = recover(CONFIG, known(first, second), now=50.0, wall=second.triggered_at + 3.0)
    assert found.heartbeat_at == pytest.approx(47.0)
    assert recover(CONFIG, known(), now=50.0, wall=1000.0).heartbeat_at == 0.0
