"""Which normals an expert would have sent on, had it not been trained on them."""

from pathlib import Path

import numpy as np
import pytest

from serving.experts.composed import ComposedExpert
from serving.experts.training import TrainOptions, train
from serving.naming import hard_normals as module
from serving.naming.hard_normals import hard_normals, held_out_gate
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
