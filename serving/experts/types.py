"""The values that experts give back: frozen, in image pixels, independent of the runtime."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""uint8, shape (height, width, 3), RGB."""
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
"""Row numbers, (N,)."""


def enlarge(values: Floats, height: int, width: int) -> Floats:
    """Resize a map (h, w) bilinearly to float32 (height, width).

    >>> enlarge(np.zeros((2, 2), np.float32), 8, 6).shape
    (8, 6)
    """
    resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


@dataclass(frozen=True)
class Blob:
    """One connected piece of a region. All measures are in image pixels."""

    box: tuple[int, int, int, int]
    """Column and row of the upper left corner, width and height."""
    area_px: float
    longest_side_px: float
    """Longer side of the smallest rotated rectangle around the piece."""
    centroid: tuple[float, float]
    """The position as x, y in pixels."""
    peak: float
    """Highest value of the anomaly map inside the piece."""


@dataclass(frozen=True, eq=False)
class Region:
    """The odd part of an image. ``mask`` is at map resolution, every measure in image pixels."""

    mask: Mask
    image_height: int
    image_width: int
    blobs: tuple[Blob, ...]
    """Connected pieces, the largest first."""
    contrast: float
    """Mean of the anomaly map inside over its mean outside (negative values count as 0)."""

    @property
    def area_px(self) -> float:
        """Area of all pieces, square pixels of the image."""
        return sum(blob.area_px for blob in self.blobs)

    @property
    def longest_side_px(self) -> float:
        """The longest piece's longest side, pixels of the image; 0 without pieces."""
        return max((blob.longest_side_px for blob in self.blobs), default=0.0)

    def contours(self) -> list[npt.NDArray[np.float32]]:
        """Outlines as (n, 2) arrays of x, y in image pixels."""
        large = enlarge(self.mask.astype(np.float32), self.image_height, self.image_width) > 0.5
        found, _ = cv2.findContours(
            large.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        return [c.reshape(-1, 2).astype(np.float32) for c in found]


@dataclass(frozen=True, eq=False)
class Scored:
    """An expert's answer for one image."""

    score: float
    """Higher is odder; it compares with ``threshold`` of the same artifact only."""
    threshold: float
    p_value: float
    """Conformal: share of held-out normals at least as odd, never 0 (``1 / (n + 1)`` at least)."""
    anomalous: bool
    anomaly_map: Floats | None
    """float32 (h, w) at map resolution; None when maps were not asked for."""
    region: Region | None
    """Outlined when the image is anomalous and maps were asked for."""
    image_height: int
    image_width: int
    heads: Mapping[str, float] = field(default_factory=dict)
    """Each head's own surprise, minus the natural logarithm of its p-value."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    least_p_value: float = 0.0
    """The smallest p-value that the held-out normals can vouch for: ``1 / (parts + 1)``."""

    def full_map(self) -> Floats:
        """The anomaly map at image size, float32 (image_height, image_width).

        Raises:
            ValueError: the image was scored with ``maps=False``.
        """
        if self.anomaly_map is None:
            raise ValueError("scored without a map: call score(..., maps=True)")
        return enlarge(self.anomaly_map, self.image_height, self.image_width)
