"""The pictures of a benchmark's cameras: as large as asked for, and what it takes to read one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from serving.experts.backbone import DEFAULT_SIZE
from serving.experts.images import decode_image
from serving.experts.preprocessing import Preprocessing

QUALITY: Final = 90
_GRAIN: Final = 4.0
"""Standard deviation of a camera's noise, grey values: without it a picture packs too well."""
_MOST: Final = 20
_MEASURED_S: Final = 0.5


@dataclass(frozen=True)
class PictureCost:
    """A picture on its way into the expert."""

    megapixels: float
    size_kb: float
    """As a file, thousands of bytes."""
    decode_ms: float
    """CPU to decode it and to shrink it to the expert's input."""


def enlarged(paths: Sequence[Path], side: int, folder: Path) -> list[Path]:
    """Some of the pictures as JPEGs of ``side`` by ``side`` pixels, written into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made, rng = [], np.random.default_rng(0)
    for number, path in enumerate(paths[:_MOST]):
        with Image.open(path) as picture:
            large = picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        grain = rng.normal(0, _GRAIN, (side, side, 1))
        pixels = np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8)
        made.append(folder / f"{number:03d}.jpg")
        Image.fromarray(pixels).save(made[-1], quality=QUALITY)
    return made


def cost_of(paths: Sequence[Path]) -> PictureCost:
    """What the pictures are like, and the CPU that one takes on this machine."""
    bodies = [path.read_bytes() for path in paths[:_MOST]]
    shrink = Preprocessing("squash", DEFAULT_SIZE, DEFAULT_SIZE)
    pixels = [decoded.shape[0] * decoded.shape[1] for decoded in map(decode_image, bodies)]
    done, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < _MEASURED_S:
        shrink(decode_image(bodies[done % len(bodies)]))
        done += 1
    return PictureCost(
        megapixels=round(float(np.mean(pixels)) / 1e6, 3),
        size_kb=round(float(np.mean([len(body) for body in bodies])) / 1e3, 1),
        decode_ms=round(1000 * spent / done, 2),
    )
