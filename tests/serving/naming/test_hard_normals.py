"""Which normals an expert would have sent on, had it not been trained on them."""

from pathlib import Path

import numpy as np
import pytest

from serving.experts.composed import ComposedExpert
from serving.experts.training import TrainOptions, train
from serving.naming import hard_normals as module
from serving.naming.exemplars import Exemplar, ExemplarBundle, Normal
from serving.naming.hard_normals import hard_normals, held_out_gate, pair, training_rows
from tests.serving.experts.pictures import SIDE, surface, write

OPTIONS = TrainOptions(
    size=SIDE, synthetic=30, threads=1, coreset=32, calibration_folds=3, false_alarm_rate=0.4
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("normals"), [surface(i) for i in range(24)])


@pytest.fixture(scope="module")
def expert(files: list[Path]) -> ComposedExpert:
    """Two photographs of each part."""
    return train("part", files, OPTIONS, {path: f"part {i // 2}" for i, path in enumerate(files)})


def test_the_oddest_held_out_normals_are_found_among_the_photographs(
    expert: ComposedExpert, files: list[Path]
) -> None:
    scores = expert.held_out_scores()
    sent = np.flatnonzero(scores > expert.model.calibration.threshold)
    pictures = [path.read_bytes() for path in files]
    stranger = write(files[0].parent / "strangers", [surface(900)])[0].read_bytes()
    found = hard_normals(expert, [*reversed(pictures), stranger])
    assert 0 < len(sent) < len(files)
    assert {h.image for h in found} == {pictures[i] for i in sent}
    assert all(h.mask.any() for h in found)
    for hard in found:
        row = pictures.index(hard.image)
        assert hard.score == pytest.approx(float(scores[row]))
        assert (hard.part, hard.weight) == (f"part {row // 2}", 0.5)
    gate = held_out_gate(expert)
    assert (gate.parts, len(gate.scores)) == (12, 24)


def test_fewer_that_are_kept_stand_for_all(
    expert: ComposedExpert, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [path.read_bytes() for path in files]
    every = hard_normals(expert, pictures)
    monkeypatch.setattr(module, "MOST", 3)
    few = hard_normals(expert, pictures)
    assert len(few) == 3
    assert sum(h.weight for h in few) == pytest.approx(sum(h.weight for h in every))


def test_reviewed_false_alarms_stay_beside_the_trained_ones(
    expert: ComposedExpert, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [path.read_bytes() for path in files]
    alarms = [
        Normal(path.read_bytes(), f"line {i}")
        for i, path in enumerate(
            write(files[0].parent / "line", [surface(950 + i) for i in range(3)])
        )
    ]
    monkeypatch.setattr(module, "MOST_REVIEWED", 2)
    bundle = ExemplarBundle("part", "efficientnet_lite0")
    first = pair(bundle, expert, pictures, alarms)
    trained = [h for h in first.hard if not h.reviewed]
    known = hard_normals(expert, pictures)
    assert [(h.image, h.weight) for h in trained] == [(h.image, h.weight) for h in known]
    assert [h.part for h in first.hard if h.reviewed] == ["line 1", "line 2"]
    defect = Exemplar("hole", alarms[2].image, np.ones((2, 2), np.bool_))
    again = pair(ExemplarBundle("part", "x", (defect,), hard=first.hard), expert, pictures)
    assert [h.part for h in again.hard if h.reviewed] == ["line 1"]


def test_a_hard_normal_is_of_the_part_that_the_bundle_says(
    expert: ComposedExpert, files: list[Path]
) -> None:
    """By that name it is left out of what it is compared with."""
    pictures = [path.read_bytes() for path in files]
    told = [f"lot {i // 4}" if i < 12 else "" for i in range(24)]
    for hard in hard_normals(expert, pictures, told=told):
        row = pictures.index(hard.image)
        assert hard.part == (f"lot {row // 4}" if row < 12 else f"part {row // 2}")
    normals = tuple(Normal(p, f"n {i}") for i, p in enumerate(pictures))
    bundle = ExemplarBundle("part", "x", normals=normals, hard=hard_normals(expert, pictures))
    again = pair(bundle, expert)
    assert {h.part for h in again.hard} == {f"n {pictures.index(h.image)}" for h in again.hard}


def test_pictures_may_be_shown_otherwise_than_they_were_trained(
    expert: ComposedExpert, files: list[Path]
) -> None:
    pictures = [path.read_bytes() for path in files]
    others = [p.read_bytes() for p in write(files[0].parent / "o", [surface(i) for i in range(24)])]
    rows = training_rows(expert, pictures)
    assert rows == list(range(24))
    found = hard_normals(expert, others, rows)
    known = hard_normals(expert, pictures)
    assert [(h.part, h.score) for h in found] == [(h.part, h.score) for h in known]
