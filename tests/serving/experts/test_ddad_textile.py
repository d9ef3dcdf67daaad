"""The small DDAD, trained here and now, separates local defects of textiles."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serving.experts.ddad.expert import DdadExpert
from serving.experts.ddad.options import DdadOptions
from serving.experts.ddad.training import train_ddad
from serving.experts.images import read_image
from serving.experts.normals import Normals
from serving.experts.options import TrainOptions
from serving.experts.preprocessing import Preprocessing
from serving.experts.selection import auroc
from serving.experts.types import Image

SIDE = 32
"""Crops, pixels: resizing would take away the grain that the defects are made of."""


def _read(folder: str, first: int, last: int) -> list[Image]:
    return [read_image(path) for path in sorted(Path(folder).iterdir())[first:last]]


def _crop(image: Image, y: int, x: int) -> Image:
    top, left = (int(np.clip(v - SIDE // 2, 0, 250 - SIDE)) for v in (y, x))
    return image[top : top + SIDE, left : left + SIDE]


def _somewhere(images: list[Image], each: int, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    return np.stack([_crop(i, *rng.integers(16, 234, 2)) for i in images for _ in range(each)])


def _windows(image: Image) -> npt.NDArray[np.float64]:
    """Every 5 x 5 window of the grey image, (h, w, 25)."""
    grey = image[..., 0].astype(np.float64)
    seen = np.lib.stride_tricks.sliding_window_view(grey, (5, 5))
    return seen.reshape(*seen.shape[:2], 25)


def _defects(normals: list[Image], odd: list[Image], seed: int) -> Image:
    """Crops about the place where 5 x 5 windows are least like those of normals (no network)."""
    import cv2

    known = np.concatenate([_windows(i)[::7, ::7].reshape(-1, 25) for i in normals])
    mean, inverse = known.mean(axis=0), np.linalg.inv(np.cov(known.T))
    rng, crops = np.random.default_rng(seed), []
    for image in odd:
        apart = _windows(image) - mean
        far = cv2.GaussianBlur(((apart @ inverse) * apart).sum(axis=-1), (0, 0), 3)
        y, x = np.unravel_index(int(far.argmax()), far.shape)
        shift = rng.integers(-6, 7, 2)
        crops.append(_crop(image, int(y + shift[0]), int(x + shift[1])))
    return np.stack(crops)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_small_one_separates_local_defects(
    record_property: Callable[[str, object], None],
) -> None:
    started = time.process_time()
    textiles = pytest.importorskip("conformal_clip_data", reason="the demo extra is not installed")
    normals = _read(textiles.nominal_dir(), 0, 40)
    pixels = _somewhere(normals, each=4, seed=0)
    names = [f"textile {i // 4}" for i in range(len(pixels))]
    own = DdadOptions(
        unet="small",
        epochs=14,
        batch=8,
        learning_rate=2e-3,
        weight_decay=0.0,
        skip=50,
        guidance=(2.0,),
        pixel_weight=(7.0,),
        smoothing=16.0,
        trial=10,
        adapt_epochs=1,
        adapt_batch=8,
    )
    options = TrainOptions(expert="ddad", false_alarm_rate=0.05, device="cpu", ddad=own)
    shape = Preprocessing("native", SIDE, SIDE)
    normal = Normals("textile", shape, pixels, names, grouped=True)
    expert = train_ddad(normal, options, lambda stage, done, total: None)
    good = _somewhere(_read(textiles.nominal_dir(), 60, 100), each=1, seed=1)
    odd = _defects(normals[:20], _read(textiles.local_dir(), 0, 40), seed=2)
    plain = _scores(expert, good)
    marked = _scores(expert, odd)
    found = auroc(plain, marked)
    threshold = expert.model.calibration.threshold
    record_property("auroc", found)
    record_property("alarms", float(np.mean(plain > threshold)))
    record_property("sensitivity", float(np.mean(marked > threshold)))
    record_property("cpu_s", time.process_time() - started)
    assert found >= 0.8
    assert np.mean(plain > threshold) <= 0.2
    assert expert.model.weighing.feature_scale > 0.01


def _scores(expert: DdadExpert, images: Image) -> npt.NDArray[np.float64]:
    return np.array([found.score for found in expert.score(list(images), maps=False)])
