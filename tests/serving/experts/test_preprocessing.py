"""Native pixels, squash and tiles."""

from pathlib import Path

import numpy as np
import pytest

from serving.experts.errors import TrainingError
from serving.experts.normals import read_normals
from serving.experts.preprocessing import (
    Preprocessing,
    choose_preprocessing,
    tile_preprocessing,
)
from serving.experts.training import TrainOptions, train
from tests.serving.experts.conftest import OPTIONS
from tests.serving.experts.pictures import surface, write


def test_one_shape_near_the_size_keeps_its_own_pixels() -> None:
    assert choose_preprocessing((250, 250), 256) == Preprocessing("native", 250, 250)
    assert choose_preprocessing((2000, 2000), 256) == Preprocessing("squash", 256, 256)


@pytest.mark.parametrize(("last", "mode"), [(250, "native"), (251, "squash")])
def test_photographs_of_several_shapes_are_squashed(tmp_path: Path, last: int, mode: str) -> None:
    sides = (250, 250, last)
    files = write(
        tmp_path, [np.full((side, 250, 3), 90 + i, np.uint8) for i, side in enumerate(sides)]
    )
    read = read_normals("plate", files, {}, TrainOptions(size=256), lambda stage, done, total: None)
    assert read.preprocessing.mode == mode
    assert read.pixels.shape == (3, *read.preprocessing.shape, 3)


def test_tiles_cover_the_image_and_stitch_back_to_it() -> None:
    shape = tile_preprocessing((180, 264), 96)
    assert (shape.rows, shape.columns) == (2, 3)
    image = np.random.default_rng(0).integers(0, 255, (180, 264, 3), dtype=np.uint8)
    cut = shape.cut(image)
    assert cut.shape == (6, 96, 96, 3)
    assert (cut[0] == image[:96, :96]).all()
    assert (cut[5] == image[84:, 168:]).all()
    back = shape.stitch(cut[..., 0].astype(np.float32))
    assert back.shape == (1, 180, 264)
    assert np.allclose(back[0], image[..., 0])


def test_the_oddest_tile_decides() -> None:
    shape = Preprocessing("tiles", 96, 96, 1, 2)
    assert shape.per_image(np.array([1.0, 5.0, 2.0, 0.0])).tolist() == [5.0, 2.0]


def test_a_huge_image_is_reduced_to_the_most_tiles() -> None:
    assert tile_preprocessing((5000, 8000), 256).tiles == 64


@pytest.mark.slow
def test_tiles_find_a_defect_that_is_small_on_the_whole(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    def large(seed: int, defect: bool = False) -> np.ndarray:
        picture = np.tile(surface(seed, 90), (3, 4, 1))
        if defect:
            picture[200:212, 250:262] = 20
        return picture

    paths = write(tmp_path / "normal", [large(i) for i in range(16)])
    options = replace(OPTIONS, tiles=True)
    expert = train("large", paths, options)
    normal = expert.score([large(100 + i) for i in range(4)])
    odd = expert.score([large(200 + i, True) for i in range(4)])
    assert max(s.score for s in normal) < min(s.score for s in odd)
    peak = odd[0].full_map()
    assert peak.shape == (270, 360)
    y, x = np.unravel_index(int(peak.argmax()), peak.shape)
    assert 190 <= y <= 222
    assert 240 <= x <= 272
    with pytest.raises(TrainingError, match="tiles"):
        train("large", paths, TrainOptions(expert="ddad", tiles=True))
    with pytest.raises(TrainingError, match="no places"):
        train("large", paths, replace(options, heads=("cells",)))
