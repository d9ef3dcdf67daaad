"""From an anomaly map to a region: mask, pieces, contours, in image pixels."""

import cv2
import numpy as np

from serving.experts.types import Blob, Floats, Mask, Region

SMALLEST_SHARE = 2e-4
"""Pieces smaller than this share of the image are dropped, unless nothing else is left."""

_LEAST_OUTSIDE = 0.02
"""Floor of the mean outside, in units of the cut: contrast stays finite (50 at the cut)."""


def make_region(values: Floats, cut: float, height: int, width: int) -> Region:
    """Outline where the map exceeds ``cut``; the peak alone when nothing does.

    Args:
        values: anomaly map, float32 (h, w).
        cut: pixel threshold, from held-out normals.
        height: height of the image, pixels.
        width: width of the image, pixels.

    >>> odd = make_region(np.eye(4, dtype=np.float32)[:, :2], cut=0.5, height=8, width=4)
    >>> int(odd.mask.sum()), odd.image_height, odd.image_width
    (2, 8, 4)
    """
    mask: Mask = values > min(cut, float(values.max()) * 0.999)
    mask = _without_specks(mask, values)
    inside = float(values[mask].mean()) if mask.any() else float(values.max())
    outside = float(np.clip(values[~mask], 0, None).mean()) if not mask.all() else inside
    contrast = inside / max(outside, _LEAST_OUTSIDE)
    return Region(mask, height, width, _blobs(mask, values, height, width), contrast)


def _without_specks(mask: Mask, values: Floats) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    least = SMALLEST_SHARE * mask.size
    kept = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= least]
    if not kept:
        peak = np.unravel_index(int(values.argmax()), values.shape)
        kept = [int(labels[peak])]
    return np.isin(labels, [k for k in kept if k]) if any(kept) else mask


def _blobs(mask: Mask, values: Floats, height: int, width: int) -> tuple[Blob, ...]:
    scale_y, scale_x = height / mask.shape[0], width / mask.shape[1]
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    blobs = []
    for i in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[i])
        piece = labels == i
        corners = np.argwhere(piece)[:, ::-1].astype(np.float32)
        corners = np.concatenate([corners, corners + 1]) * np.array([scale_x, scale_y], np.float32)
        (_, sides, _) = cv2.minAreaRect(corners)
        left, top = int(x * scale_x), int(y * scale_y)
        right, bottom = -int(-(x + w) * scale_x // 1), -int(-(y + h) * scale_y // 1)
        blobs.append(
            Blob(
                (left, top, min(right, width) - left, min(bottom, height) - top),
                area * scale_x * scale_y,
                float(max(sides)),
                ((centroids[i][0] + 0.5) * scale_x, (centroids[i][1] + 0.5) * scale_y),
                float(values[piece].max()),
            )
        )
    return tuple(sorted(blobs, key=lambda b: -b.area_px))
