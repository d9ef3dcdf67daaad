"""From any photograph to the network's input: part of the model, the same in training and use."""

from dataclasses import dataclass

import cv2
import numpy as np

from serving.experts.calibration import Scores
from serving.experts.types import Floats, Image

OVERLAP = 1 / 8
"""Share of a tile's side that it has in common with the next."""
MOST_TILES_A_SIDE = 8
_LEAST_SHARE, _MOST_SHARE = 0.6, 1.5


@dataclass(frozen=True)
class Preprocessing:
    """The input's shape, and how it came about."""

    mode: str
    """``native``: pixels as photographed; ``squash``: resized to a square; ``tiles``: a grid of
    overlapping squares."""
    height: int
    """Height of the network's input, pixels."""
    width: int
    rows: int = 1
    """How many rows of tiles there are."""
    columns: int = 1
    bits: int | None = None
    """Bits of the camera's pixels in 16-bit files; None where training saw no such file."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the network's input, pixels."""
        return self.height, self.width

    @property
    def tiles(self) -> int:
        """How many network inputs one image makes."""
        return self.rows * self.columns

    def cut(self, image: Image) -> Image:
        """uint8 RGB of any size to uint8 (tiles, height, width, 3), row by row."""
        if self.tiles == 1:
            return self(image)[None]
        step_y, step_x = (round(side * (1 - OVERLAP)) for side in (self.height, self.width))
        height = (self.rows - 1) * step_y + self.height
        width = (self.columns - 1) * step_x + self.width
        whole = Preprocessing("squash", height, width)(image)
        return np.stack(
            [
                whole[y * step_y : y * step_y + self.height, x * step_x : x * step_x + self.width]
                for y in range(self.rows)
                for x in range(self.columns)
            ]
        )

    def per_image(self, values: Scores) -> Scores:
        """Scores per tile (N * tiles,) to scores per image (N,): the oddest tile decides."""
        return np.asarray(values.reshape(-1, self.tiles).max(axis=1))

    def stitch(self, maps: Floats) -> Floats:
        """Square maps per tile (N * tiles, s, s) to maps per image; overlaps are averaged."""
        if self.tiles == 1:
            return maps
        side = maps.shape[-1]
        step = round(side * (1 - OVERLAP))
        shape = ((self.rows - 1) * step + side, (self.columns - 1) * step + side)
        total = np.zeros((len(maps) // self.tiles, *shape), np.float32)
        count = np.zeros(shape, np.float32)
        grid = maps.reshape(-1, self.rows, self.columns, side, side)
        for y in range(self.rows):
            for x in range(self.columns):
                place = np.s_[y * step : y * step + side, x * step : x * step + side]
                total[(slice(None), *place)] += grid[:, y, x]
                count[place] += 1
        return np.asarray(total / count, np.float32)

    def __call__(self, image: Image) -> Image:
        """uint8 RGB of any size to uint8 (height, width, 3): area averaging down, bilinear up."""
        if image.shape[:2] == self.shape:
            return np.ascontiguousarray(image)
        smaller = image.shape[0] >= self.height and image.shape[1] >= self.width
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        resized = cv2.resize(image, (self.width, self.height), interpolation=how)
        return np.asarray(resized, dtype=np.uint8)


def choose_preprocessing(shape: tuple[int, int], size: int) -> Preprocessing:
    """Native pixels where the photographs' shape is near ``size``, else squash.

    Resampling by a few per cent destroys the grain that the texture head reads (textile: image
    AUROC on faint local noise 1.00 native, .94 resized from 250 to 256). Squash beats letterbox
    on parts of varying aspect (``docs/experts.md``).
    """
    share = shape[0] * shape[1] / size**2
    if _LEAST_SHARE <= share <= _MOST_SHARE and max(shape) <= 2 * min(shape):
        return Preprocessing("native", *shape)
    return Preprocessing("squash", size, size)


def tile_preprocessing(shape: tuple[int, int], size: int) -> Preprocessing:
    """As many overlapping tiles of ``size`` as the image's own pixels fill, 8 a side at most.

    Larger images are reduced to that many tiles.
    """
    step = size * (1 - OVERLAP)
    rows, columns = (
        min(MOST_TILES_A_SIDE, max(1, round((side - size) / step) + 1)) for side in shape
    )
    return Preprocessing("tiles", size, size, rows, columns)
