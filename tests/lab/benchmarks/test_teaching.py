"""Draws of exemplars and redraws of normals: by part, and never both taught and judged."""

from pathlib import Path

import pytest

from lab.benchmarks.teaching import (
    TeachingOptions,
    draw_exemplars,
    make_splits,
    measure_teaching,
)
from lab.datasets.folders import GOOD, Dataset, DatasetError, Sample
from serving.experts.options import TrainOptions
from tests.serving.experts.pictures import SIDE, scratched, surface, write


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


@pytest.mark.slow
def test_teaching_is_measured_beside_the_untaught_expert(tmp_path: Path) -> None:
    good = write(tmp_path / "good", [surface(i) for i in range(30)])
    odd = write(tmp_path / "scratch", [scratched(600 + i) for i in range(6)])
    normals = tuple(Sample(p, GOOD, False) for p in good)
    scratches = tuple(Sample(p, "scratch", True) for p in odd)
    data = Dataset("made up", normals[:22], (*normals[22:], *scratches))
    training = TrainOptions(size=SIDE, synthetic=20, threads=1, coreset=32, false_alarm_rate=0.1)
    found = measure_teaching(data, training, TeachingOptions(2, 2), lambda *told: None)
    assert len(found["draws"]) == 2
    assert found["mean"]["taught"]["found"]["mean"] == 1.0
    assert set(found["mean"]["taught"]["by_class"]) == {"scratch"}
    assert set(found["mean"]["taught"]["by_rate"]) >= {"0.05", "0.1"}
    assert found["cost"]["untaught_ms"] > 0
