"""The draw of the benchmark over reviews, and its means."""

from datetime import UTC, datetime

from andon.learning.figures import JudgedTwice, by_class, shares
from andon.learning.lessons import ReviewedPicture
from lab.benchmarks.learn import SplitFigures, draw, means

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pictures() -> list[ReviewedPicture]:
    parts = [("crack", f"c{i}") for i in range(5)] + [("fray", "f0")]
    parts += [("", f"g{i}") for i in range(6)]
    return [ReviewedPicture(f"{p}-{k}", p, NOW, c, b"") for c, p in parts for k in range(2)]


def test_half_of_each_class_s_parts_are_reviewed_and_some_are_left_to_judge() -> None:
    drawn = [draw(pictures(), 4, seed) for seed in range(5)]
    for reviewed in drawn:
        assert sum(part.startswith("c") for part in reviewed) == 3
        assert sum(part.startswith("g") for part in reviewed) == 4
        assert "f0" in reviewed
    assert len({frozenset(reviewed) for reviewed in drawn}) > 1
    assert draw(pictures(), 4, 1) == drawn[1]


def test_means_weigh_each_split_alike() -> None:
    first = [
        JudgedTwice("1", "p", "crack", False, True, 0, 2),
        JudgedTwice("2", "g", "", True, True, 2, 2),
    ]
    second = [JudgedTwice("3", "q", "crack", False, False, 0, 0)]
    found = [SplitFigures(i, 1, shares(v), by_class(v)) for i, v in enumerate((first, second))]
    body = means(found)
    assert (body["escapes_before"], body["escapes_after"]) == (1.0, 0.5)
    assert body["false_alarms_after"] == 1.0
    assert body["by_class"]["crack"]["escapes_after"] == 0.5
