"""Masks as data sets have them: 255, small class numbers, empty, absent, of another size."""

from pathlib import Path

import numpy as np
import pytest

from lab.datasets.folders import DatasetError, Sample
from lab.datasets.masks import true_mask
from tests.lab.velm.mini import write

IMAGE = np.zeros((8, 10, 3), np.uint8)


def sample(folder: Path, mask: np.ndarray | None) -> Sample:
    path = folder / "mask.png"
    if mask is not None:
        write(path, mask)
    return Sample(folder / "a.png", "dent", True, None if mask is None else path)


@pytest.mark.parametrize(
    ("values", "inside"), [((0, 255), 255), ((0, 100, 200), 200), ((0, 1, 3), 1), ((0, 0), 0)]
)
def test_above_the_middle_else_any_grey_else_everything(
    tmp_path: Path, values: tuple[int, ...], inside: int
) -> None:
    grey = np.resize(np.array(values, np.uint8), (8, 10))
    found = true_mask(sample(tmp_path, grey), IMAGE)
    assert (found == (grey >= inside)).all()


def test_without_a_mask_the_whole_picture(tmp_path: Path) -> None:
    assert true_mask(sample(tmp_path, None), IMAGE).all()


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"mask\.png: 4x4 pixels, but a\.png has 10x8"):
        true_mask(sample(tmp_path, np.ones((4, 4), np.uint8)), IMAGE)
