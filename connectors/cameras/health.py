"""Is what a camera gave a picture at all? Figures of one picture, and what is wrong with it. Pure.

The limits are extremes that no lit part reaches; a station whose good parts do, such as a dark
field, switches the check off.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

BLACK: Final = 0.02
"""A picture is black when 99.9 % of its pixels are below this share of white."""
SATURATED: Final = 0.98
"""It is saturated when 99.9 % of its pixels are above this share of white."""


@dataclass(frozen=True)
class PictureFigures:
    """What is measured of one picture; brightness as a share of white."""

    width: int
    height: int
    dark: float
    """The brightness that 0.1 % of the pixels do not reach."""
    middle: float
    bright: float
    """The brightness that 0.1 % of the pixels exceed."""
    levels: tuple[float, ...]
    """The brightness that each tenth of the pixels does not reach, 10 % to 90 %."""
    detail: float
    """Fine detail over the brightness, whatever the exposure: that of the finer of 64 blocks."""
    focus: float
    """Fine detail over coarse detail, which falls out of focus: of 64 blocks the middle of those
    with the most structure. A defect is in few blocks, a lens in all."""


_TENTHS: Final = tuple(range(10, 100, 10))
_BLOCKS: Final = 8
"""A picture is divided into so many blocks along each side."""
_FINE, _COARSE = 1, 4
"""Steps between places so far apart, in pixels of half the size."""
_LIFT: Final = 0.01
"""Added to brightness and coarse detail, so that a black picture has no endless detail."""


def figures_of(grey: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> PictureFigures:
    """Figures of grey pixels of shape (height, width); 16-bit ones fill their range."""
    white = float(np.iinfo(grey.dtype).max)
    found = np.percentile(grey, (0.1, 50, 99.9, *_TENTHS)) / white
    dark, middle, bright, *levels = (float(level) for level in found)
    halved = _halved(grey) / np.float32(white)
    fine, coarse = (_by_block(_steps(halved, far)) for far in (_FINE, _COARSE))
    structured = np.argsort(coarse)[coarse.size // 2 :]
    height, width = grey.shape
    return PictureFigures(
        width, height, dark, middle, bright, tuple(levels),
        float(np.percentile(fine, 75)) / (levels[6] + _LIFT),
        float(np.median(fine[structured] / (coarse[structured] + _LIFT / 10))),
    )  # fmt: skip


def _halved(grey: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Means of two by two pixels: half as much noise of the sensor."""
    pixels = grey.astype(np.float32)
    height, width = (side // 2 * 2 for side in grey.shape)
    if min(height, width) < 2:
        return pixels
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2)
    halved: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return halved


def _steps(pixels: npt.NDArray[np.float32], far: int) -> npt.NDArray[np.float32]:
    """Differences of places so far apart, along both sides together, of the same shape."""
    steps = np.zeros_like(pixels)
    steps[:, :-far] += np.abs(pixels[:, far:] - pixels[:, :-far])
    steps[:-far] += np.abs(pixels[far:] - pixels[:-far])
    return steps


def _by_block(steps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of each block."""
    rows, columns = (
        np.unique(np.linspace(0, side, _BLOCKS + 1).astype(int)[:-1]) for side in steps.shape
    )
    sums = np.add.reduceat(np.add.reduceat(steps, rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(begins, side))
        for begins, side in zip((rows, columns), steps.shape, strict=True)
    )
    means: npt.NDArray[np.float32] = (sums / np.outer(heights, widths)).astype(np.float32)
    return means.ravel()


def fault_of_picture(found: PictureFigures, before: PictureFigures | None) -> str:
    """What is wrong, in words; empty when nothing is.

    Args:
        found: of this picture.
        before: of the first picture of this camera, whose size all others have.
    """
    if found.bright < BLACK:
        return f"the picture is black: 99.9 % of it is below {100 * BLACK:g} % of white"
    if found.dark > SATURATED:
        return f"the picture is saturated: 99.9 % of it is above {100 * SATURATED:g} % of white"
    size = (found.width, found.height)
    if before is not None and size != (before.width, before.height):
        was = f"{before.width} x {before.height}"
        return (
            f"the picture is {size[0]} x {size[1]}, and was {was}; set the camera back or, where "
            "it is meant, start the gateway anew"
        )
    return ""
