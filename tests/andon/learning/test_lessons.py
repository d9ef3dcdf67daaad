"""Which reviews teach, and which came later."""

from datetime import UTC, datetime, timedelta

import pytest

from andon.learning.errors import LearningError
from andon.learning.figures import JudgedTwice, by_class, shares
from andon.learning.lessons import ReviewedPicture, choose, split_by_time, without

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def reviewed(frame: str, part: str, minute: int, class_name: str = "crack") -> ReviewedPicture:
    at = BEGIN + timedelta(minutes=minute)
    return ReviewedPicture(frame, part, at, class_name, frame.encode())


def test_the_later_parts_test_and_no_part_is_on_both_sides() -> None:
    defects = [reviewed(f"d{i}", f"part-{i // 2}", i) for i in range(20)]
    normals = [reviewed(f"n{i}", f"good-{i}", i, "") for i in range(10)]
    earlier, later = split_by_time([*normals, *defects], 0.3)
    assert {p.part for p in later if p.is_defect} == {"part-7", "part-8", "part-9"}
    assert {p.part for p in later if not p.is_defect} == {"good-7", "good-8", "good-9"}
    assert not {p.part for p in earlier} & {p.part for p in later}
    assert len(earlier) + len(later) == 30


def test_a_class_of_one_part_teaches() -> None:
    earlier, later = split_by_time([reviewed("a", "p", 1), reviewed("b", "p", 2)], 0.5)
    assert (len(earlier), later) == (2, [])


def test_many_different_parts_teach_rather_than_many_pictures_of_one() -> None:
    often = [reviewed(f"o{i}", "often", 100 + i) for i in range(10)]
    once = [reviewed(f"s{i}", f"single-{i}", i) for i in range(3)]
    other = [reviewed("x", "y", 5, "dent")]
    good = [reviewed("n", "good", 5, "")]
    chosen = choose([*once, *often, *other, *good], 5)
    cracks = [p for p in chosen if p.class_name == "crack"]
    assert {p.part for p in cracks} == {"often", "single-0", "single-1", "single-2"}
    assert [p.frame for p in cracks if p.part == "often"] == ["o9", "o8"]
    assert [p.frame for p in chosen if p.class_name == "dent"] == ["x"]
    assert len(chosen) == 6


def test_a_review_is_left_out_by_its_frame() -> None:
    pictures = [reviewed("a", "p", 1), reviewed("b", "q", 2)]
    assert [p.frame for p in without(pictures, ["a"])] == ["b"]
    with pytest.raises(LearningError, match="--without c"):
        without(pictures, ["a", "c"])


def test_each_part_weighs_one() -> None:
    verdicts = [
        JudgedTwice("1", "p", "crack", False, True, 0.5, 2.0),
        JudgedTwice("2", "p", "crack", False, False, 0.5, 0.9),
        JudgedTwice("3", "q", "crack", True, True, 2.0, 2.0),
        JudgedTwice("4", "g", "", False, True, 0.5, 1.5),
        JudgedTwice("5", "h", "", False, False, 0.5, 0.5),
    ]
    found = shares(verdicts)
    assert (found.defects, found.normals) == (2, 2)
    assert (found.escapes_before, found.escapes_after) == (0.5, 0.25)
    assert (found.alarms_before, found.alarms_after) == (0.0, 0.5)
    assert by_class(verdicts)["crack"].escapes_after == 0.25
    assert shares([]).escapes_before is None
    assert [v.gained for v in verdicts] == [True, False, False, False, False]
