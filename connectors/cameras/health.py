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
    sharpness: float
    """Mean step between neighbours as a share of white: it falls out of focus."""


def figures_of(grey: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> PictureFigures:
    """Figures of grey pixels of shape (height, width); 16-bit ones fill their range."""
    white = float(np.iinfo(grey.dtype).max)
    dark, middle, bright = np.percentile(grey, (0.1, 50, 99.9)) / white
    steps = np.abs(np.diff(grey.astype(np.float32), axis=1))
    sharpness = float(steps.mean()) / white if steps.size else 0.0
    height, width = grey.shape
    return PictureFigures(width, height, float(dark), float(middle), float(bright), sharpness)


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
        return f"the picture is {size[0]} x {size[1]}, and was {before.width} x {before.height}"
    return ""
