"""The shape of an odd region, in numbers that do not depend on the picture's resolution."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streams.regions import Mask

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

GEOMETRY: Final = (
    "area",
    "elongation",
    "fill",
    "count",
    "largest_share",
    "border",
    "darker",
    "lighter",
    "sharpness",
)
"""Names of the entries of :func:`region_geometry`, in order."""
_SIZE: Final = 128
_RING: Final = np.ones((9, 9), np.uint8)


def region_geometry(image: Image, mask: Mask) -> Floats:
    """Shape and contrast of a region, float32 (9,), each entry in [0, 1]; see ``GEOMETRY``.

    Args:
        image: uint8 (height, width, 3) RGB.
        mask: bool, any resolution.
    """
    small = cv2.resize(mask.astype(np.uint8), (_SIZE, _SIZE), interpolation=cv2.INTER_NEAREST)
    if not small.any():
        return np.zeros(len(GEOMETRY), np.float32)
    grey = cv2.cvtColor(
        cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    entries = np.array([*_shape(small), *_contrast(grey, small)], np.float32)
    return np.asarray(np.clip(entries, 0, 1), np.float32)


def _shape(mask: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(float)
    total = float(areas.sum())
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    _, sides, _ = cv2.minAreaRect(largest)
    longer, shorter = max(sides) + 1.0, min(sides) + 1.0
    rows, columns = np.nonzero(mask)
    edge = float(min(rows.min(), columns.min(), _SIZE - 1 - rows.max(), _SIZE - 1 - columns.max()))
    return (
        float(np.log(total) / np.log(_SIZE * _SIZE)),
        1.0 - shorter / longer,
        float(areas.max()) / (longer * shorter),
        float(np.log2(count)) / 4.0,
        float(areas.max()) / total,
        1.0 - 2.0 * edge / _SIZE,
    )


def _contrast(grey: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    inside = mask > 0
    ring = (cv2.dilate(mask, _RING) > 0) & ~inside
    around = grey[ring] if ring.any() else grey[~inside] if (~inside).any() else grey[inside]
    difference = (float(grey[inside].mean()) - float(around.mean())) / 128.0
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return (
        max(-difference, 0.0),
        max(difference, 0.0),
        float(np.percentile(gradient[inside], 90)) / 512.0,
    )
