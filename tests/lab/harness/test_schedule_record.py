"""A long schedule goes on where it was interrupted, and only the same one does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.harness.schedule import KILL, PlannedFault, legs, schedule
from lab.harness.schedule_record import LegFound, ScheduleRecordError, open_record

OPTIONS: dict[str, object] = {"seed": 7, "parts": 1000, "takt_s": 0.2}
LEFT = PlannedFault(12, KILL, "gateway", 1.5)


def leg(number: int, **changes: object) -> LegFound:
    figures = {"parts": 500, "faults": 4, "lost": 0, "acted_twice": 0, "contradictory": 0}
    return LegFound(number, run_s=10.0, **{**figures, **changes})  # type: ignore[arg-type]


@given(st.integers(0, 99), st.integers(20, 3000), st.integers(0, 9), st.integers(20, 700))
def test_legs_hold_every_part_and_fault(seed: int, parts: int, kills: int, size: int) -> None:
    planned = schedule(seed, parts, ["gateway", "record"], kills)
    cut = legs(planned, parts, size)
    assert sum(one.parts for one in cut) == parts
    assert [one.number for one in cut] == list(range(1, len(cut) + 1))
    assert len(cut) == 1 or min(one.parts for one in cut) >= size
    first, found = 0, []
    for one in cut:
        assert all(0 <= fault.at_part < one.parts for fault in one.faults)
        found += [first + fault.at_part for fault in one.faults]
        first += one.parts
    assert found == [fault.at_part for fault in planned]
    assert [f.victim for one in cut for f in one.faults] == [f.victim for f in planned]


def test_a_run_goes_on_after_its_legs(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "run.jsonl"
    record = open_record(path, OPTIONS)
    record.add(leg(1))
    record.add(leg(2, left=(LEFT,), errors=("part 3: kill s3: it did not come up",)))
    again = open_record(path, OPTIONS)
    assert again.legs == record.legs
    assert again.left == (LEFT,)
    again.add(leg(3))
    assert len(open_record(path, OPTIONS).legs) == 3


def test_a_leg_that_was_cut_off_is_played_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record = open_record(path, OPTIONS)
    record.add(leg(1))
    record.add(leg(2))
    path.write_bytes(path.read_bytes()[:-9])
    again = open_record(path, OPTIONS)
    assert [one.leg for one in again.legs] == [1]
    again.add(leg(2))
    assert [one.leg for one in open_record(path, OPTIONS).legs] == [1, 2]


def test_a_run_of_other_options_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    open_record(path, OPTIONS)
    with pytest.raises(ScheduleRecordError, match="other options \\(seed\\)"):
        open_record(path, {**OPTIONS, "seed": 8})
    for text in ("no JSON\n", "", '{"seed": 7}\n{"leg": 1}\n'):
        path.write_text(text)
        with pytest.raises(ScheduleRecordError, match="no legs of a schedule"):
            open_record(path, {"seed": 7})


def test_one_broken_leg_breaks_the_run() -> None:
    record = open_record(None, OPTIONS)
    record.add(leg(1))
    assert record.figures(9)["verdict"] == "holds"
    assert (record.figures(9)["faults"], record.figures(9)["not_done"]) == (4, 5)
    for breach in ("lost", "acted_twice", "contradictory"):
        broken = open_record(None, OPTIONS)
        broken.add(leg(1))
        broken.add(leg(2, **{breach: 1}, why=("part 5: no outcome",)))
        figures = broken.figures(8)
        assert (figures["verdict"], figures[breach], figures["parts"]) == ("BROKEN", 1, 1000)
        assert figures["why"] == ["leg 2: part 5: no outcome"]
