"""Draws of exemplars and redraws of normals: by part, and never both taught and judged."""

from pathlib import Path

import pytest

from lab.benchmarks.teaching import TeachingOptions, draw_exemplars, make_splits
from lab.datasets.folders import GOOD, Dataset, DatasetError, Sample


def photographs(label: str, parts: int, each: int) -> tuple[Sample, ...]:
    return tuple(
        Sample(Path(f"{label}/{part}-{i}.png"), label, label != GOOD, None, f"{label}-{part}")
        for part in range(parts)
        for i in range(each)
    )


ODD = (*photographs("crack", 6, 2), *photographs("pit", 3, 3))
GOOD_ONES = photographs(GOOD, 30, 2)
DATA = Dataset("made up", GOOD_ONES[:40], (*GOOD_ONES[40:], *ODD))


def test_exemplars_are_of_different_parts_and_a_part_of_each_class_is_left() -> None:
    for seed in range(10):
        drawn = draw_exemplars(ODD, 5, seed)
        parts = [s.part for s in drawn]
        assert len(parts) == len(set(parts)) == 7
        assert sum(s.label == "pit" for s in drawn) == 2
    assert draw_exemplars(ODD, 5, 0) != draw_exemplars(ODD, 5, 1)


def test_a_class_left_out_teaches_nothing() -> None:
    assert {s.label for s in draw_exemplars(ODD, 5, 0, without="crack")} == {"pit"}


def test_redraws_keep_parts_together_and_as_many_unseen() -> None:
    splits = make_splits(DATA, TeachingOptions(redraws=4))
    assert len({split.train for split in splits}) == 4
    for split in splits:
        trained = {s.part for s in split.train}
        unseen = {s.part for s in split.judged if not s.anomalous}
        assert not trained & unseen
        assert len(unseen) == 10
        assert len(trained) == 20
        assert set(ODD) <= set(split.judged)


def test_without_redraws_the_split_is_the_data_sets_own() -> None:
    (split,) = make_splits(DATA, TeachingOptions())
    assert split.train == DATA.train
    assert set(split.judged) == set(DATA.test)


def test_a_test_without_defects_is_refused() -> None:
    with pytest.raises(DatasetError, match="normal and anomalous"):
        make_splits(Dataset("good only", GOOD_ONES[:40], GOOD_ONES[40:]), TeachingOptions())
