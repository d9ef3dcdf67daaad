"""Small photographs for the experts' tests: a lit, grained surface with a seam, and defects."""

from pathlib import Path

import cv2
import numpy as np

from serving.experts.types import Image

SIDE = 96


def surface(seed: int, side: int = SIDE) -> Image:
    """A normal part: gradient, seam and grain, never twice the same."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    values = 110 + 30 * x + 10 * np.sin(14 * y + rng.normal(0, 0.2))
    values[:, side // 3 : side // 3 + 2] -= 40
    values = values + rng.normal(0, 4, values.shape) + rng.normal(0, 3)
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def scratched(seed: int, side: int = SIDE) -> Image:
    """The same with a dark scratch across the lower right."""
    picture = surface(seed, side)
    cv2.line(picture, (side // 2, side // 2), (side - 12, side - 20), (30, 30, 30), 4)
    return picture


def write(folder: Path, pictures: list[Image]) -> list[Path]:
    """Save as PNG; the paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        assert cv2.imwrite(str(path), picture)
    return paths
