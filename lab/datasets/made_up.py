"""A made-up data set that trains and scores in seconds: whether everything runs, not how well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.experts.options import TrainOptions

_Picture = npt.NDArray[np.uint8]
_SIDE = 160
_FOLDERS = (
    ("train/good", 24, 2000),
    ("test/good", 8, 0),
    ("test/scratch", 8, 1000),
    ("test/stain", 6, 3000),
)
"""Folders with their number of images and the seed of the first."""
_GROUPS = 12
"""Groups of the training images: two photographs show one part."""


def cheaply(options: TrainOptions) -> TrainOptions:
    """The same options, but for an expert that is trained in seconds on a few pictures."""
    return replace(options, synthetic=40, calibration_folds=3, coreset=96)


def write_smoke_set(folder: Path) -> None:
    """Write an MVTec-AD layout with ``parts.csv``: woven surfaces, some scratched or stained."""
    from PIL import Image

    rows = ["path,class,part"]
    for kind, count, seed in _FOLDERS:
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            picture = _surface(seed + i)
            name = f"{i:03d}.png"
            if kind in _DEFECTS:
                truth = folder / "ground_truth" / Path(kind).name
                truth.mkdir(parents=True, exist_ok=True)
                picture, mask = _DEFECTS[kind](picture, i)
                Image.fromarray(mask).save(truth / f"{i:03d}_mask.png")
            Image.fromarray(picture).save(folder / kind / name)
            part = f"train-{i % _GROUPS}" if kind == "train/good" else f"{kind}-{i}"
            rows.append(f"{kind}/{name},{Path(kind).name},{part}")
    (folder / "parts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _surface(seed: int) -> _Picture:
    """A weave with its own phase, tone and grain, uint8 (160, 160, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    phase = rng.uniform(0, 0.6, 2)
    weave = 18 * np.sin(x / 3 + phase[0]) + 18 * np.sin(y / 4 + phase[1])
    grey = 120 + rng.normal(0, 4) + weave + rng.normal(0, 4, (_SIDE, _SIDE))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _scratched(picture: _Picture, seed: int) -> tuple[_Picture, _Picture]:
    """A bright line across a copy, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    row, column = rng.integers(40, _SIDE - 60, 2)
    for i in range(40):
        mask[row + i // 2 : row + i // 2 + 4, column + i] = 255
    changed = picture.astype(np.int16) + (mask[:, :, None] > 0) * 90
    return np.clip(changed, 0, 255).astype(np.uint8), mask


def _stained(picture: _Picture, seed: int) -> tuple[_Picture, _Picture]:
    """A dark round place on a copy, and its mask."""
    row, column = np.random.default_rng(seed).integers(30, _SIDE - 30, 2)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    mask = np.where((y - row) ** 2 + (x - column) ** 2 < 12**2, 255, 0).astype(np.uint8)
    changed = picture.astype(np.int16) - (mask[:, :, None] > 0) * 70
    return np.clip(changed, 0, 255).astype(np.uint8), mask


_DEFECTS = {"test/scratch": _scratched, "test/stain": _stained}
