"""How a picture looks as a whole: brightness, contrast and sharpness, in a fraction of a ms.

They tell a person what moved when an expert finds parts odder than it did: the light, the focus, or
the look of the parts. None of them takes part in a score.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from serving.experts.types import Image

_SIDE = 256
"""Larger pictures are thinned out to about this many rows and columns for light."""
_CROP = 384
"""Side of the middle piece that sharpness is measured in, at the picture's own resolution."""
_NOISE = 0.05
"""Grey values added to both differences, so that an even picture has a sharpness too."""


@dataclass(frozen=True)
class Look:
    """Statistics of one picture's grey values."""

    brightness: float
    """Mean, 0 to 1."""
    contrast: float
    """Deviation over mean, at least 0; a change of exposure leaves it alone."""
    sharpness: float
    """Mean difference of neighbours over that of pixels three apart, above 0; about 1/3 where
    everything is smooth and 1 for noise. A smooth change of light leaves it alone."""


def measure_look(image: Image) -> Look:
    """The statistics of a picture, uint8 (H, W, 3).

    >>> measure_look(np.full((32, 32, 3), 51, np.uint8)).brightness
    0.2
    """
    height, width = image.shape[:2]
    step = max(1, min(height, width) // _SIDE)
    thin = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(thin))
    top, left = max(0, (height - _CROP) // 2), max(0, (width - _CROP) // 2)
    piece = image[top : top + _CROP, left : left + _CROP]
    grey = cv2.cvtColor(np.ascontiguousarray(piece), cv2.COLOR_RGB2GRAY)
    near, far = (_difference(grey, lag) + _NOISE for lag in (1, 3))
    return Look(
        round(mean / 255, 6), round(deviation / max(mean, 1.0), 6), round(float(near / far), 6)
    )


def _difference(grey: Image, lag: int) -> float:
    """Mean absolute difference of pixels ``lag`` apart, along rows and columns."""
    if min(grey.shape) <= lag:
        return 0.0
    along = cv2.mean(cv2.absdiff(grey[:, lag:], grey[:, :-lag]))[0]
    down = cv2.mean(cv2.absdiff(grey[lag:], grey[:-lag]))[0]
    return float(along + down) / 2
