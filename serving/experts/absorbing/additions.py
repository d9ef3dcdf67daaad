"""A new look: where confirmed good parts agree that they differ, and normals that show it too."""

from collections.abc import Sequence

import cv2
import numpy as np

from serving.experts.synthetic import LOCAL_KINDS, corrupt
from serving.experts.types import Floats, Image, Mask, Rows, enlarge

_CELLS = 64
"""Cells a side in which pictures are compared."""
_FINE = 2.0
"""Width of the blur, pixels, that detail is told from; what is finer counts by its energy."""
_ODD = 1.5
"""Deviations between stored normals by which the mean of the good parts must differ in a cell: the
mean of ten parts of the old kind deviates by a third of one."""
_EACH = 1.0
"""Deviations from which on one good part agrees."""
_LEAST_SPREAD = 0.25
"""A cell's deviation is at least this share of the mean over all cells."""
_MOST_NORMALS = 200
"""Stored normals that the good parts are compared with."""
_AGREE = 0.6
"""Share of the good parts that must be odd at a place."""
_MARGIN = 1 / 32
"""What is taken over around the odd cells, as a share of the picture's side."""
_FEATHER = 1 / 100
"""Width of the seam, as a share of the picture's side."""
_MOST_GAIN = 1.25
"""A good part's piece is made lighter or darker by no more than this to fit its surroundings."""
_TRIES = 60
"""Synthetic anomalies are made anew so often until most of one lies on the new look."""
_INSIDE = 0.6
"""Share of a synthetic anomaly that must lie on the new look."""


def odd_places(normals: Image, goods: Image) -> Mask:
    """Where most good parts differ from the normals in the same way, (H, W).

    Grey values and fine detail are compared cell by cell, each picture relative to its own median.
    An expert's map is no help here: heads that see a cell beside its own picture find all of a
    picture odd that is very odd somewhere.

    Args:
        normals: prepared pictures (N, H, W, 3) under the light of the good parts.
        goods: prepared pictures, one for each part.
    """
    known = _cells(normals[:: max(1, len(normals) // _MOST_NORMALS)])
    spread = known.std(axis=0)
    spread = np.maximum(spread, _LEAST_SPREAD * spread.mean(axis=(1, 2), keepdims=True)) + 1e-6
    deviations = (_cells(goods) - known.mean(axis=0)) / spread
    mean = deviations.mean(axis=0)
    alike = (deviations * np.sign(mean) > _EACH).mean(axis=0) >= _AGREE
    agreed = ((np.abs(mean) > _ODD) & alike).any(axis=0)
    height, width = goods.shape[1:3]
    large = enlarge(agreed.astype(np.float32), height, width) > 0.3
    reach = max(1, round(_MARGIN * max(height, width)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(large.astype(np.uint8), kernel), bool)


def _cells(pictures: Image) -> Floats:
    """Mean grey value and energy of fine detail by cell, (N, 2, 64, 64)."""
    found = np.empty((len(pictures), 2, _CELLS, _CELLS), np.float32)
    for i, picture in enumerate(pictures):
        grey = picture.mean(axis=2, dtype=np.float32)
        grey /= max(float(np.median(grey)), 1.0)
        detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), _FINE))
        for number, values in enumerate((grey, detail)):
            found[i, number] = cv2.resize(values, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return found


def with_look(pictures: Image, goods: Image, place: Mask) -> Image:
    """Pictures with what the good part of the same row shows at ``place``.

    Args:
        pictures: (N, H, W, 3).
        goods: (N, H, W, 3).
        place: (H, W), or (N, H, W) for a place of its own in each.
    """
    places = np.broadcast_to(place, pictures.shape[:3])
    return np.stack([_paste(*row) for row in zip(pictures, goods, places, strict=True)])


def spread_looks(folds: Sequence[Rows], goods: int) -> Rows:
    """For each row the good part that it shows; a fold shares none with another.

    So heads that score a row have seen neither its part nor its look.
    """
    chosen = np.empty(sum(map(len, folds)), np.int64)
    for number, rows in enumerate(folds):
        own = np.arange(number, goods, len(folds))
        chosen[rows] = own[np.arange(len(rows)) % len(own)]
    return chosen


def anomalies_on(
    pictures: Image, place: Mask, count: int, seed: int
) -> tuple[Image, Mask, list[str], Rows]:
    """Synthetic local anomalies most of which lie on ``place``.

    Returns:
        Pictures, masks, kinds, and the row of ``pictures`` that each was made from; none where no
        try came to lie there.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[Image, Mask, str, int]] = []
    kinds = list(LOCAL_KINDS)
    for number in range(count):
        kind, row = kinds[number % len(kinds)], int(rng.integers(len(pictures)))
        donor = pictures[int(rng.integers(len(pictures)))]
        for turn in range(_TRIES):
            odd, mask = corrupt(pictures[row], donor, kind, (seed * 7919 + number) * 997 + turn)
            if mask.any() and place[mask].mean() >= _INSIDE:
                found.append((odd, mask, kind, row))
                break
    if not found:
        height, width = place.shape
        return pictures[:0], np.zeros((0, height, width), bool), [], np.zeros(0, np.int64)
    odds, masks, named, rows = zip(*found, strict=True)
    return np.stack(odds), np.stack(masks), list(named), np.array(rows, np.int64)


def _paste(picture: Image, good: Image, place: Mask) -> Image:
    side = max(place.shape)
    sigma = max(0.8, _FEATHER * side)
    soft = cv2.GaussianBlur(place.astype(np.float32), (0, 0), sigma)
    reach = max(3, round(4 * sigma))
    grown = cv2.dilate(place.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    ring = grown.astype(bool) & ~place
    if not ring.any():
        ring = np.ones_like(place)
    own, theirs = (p[ring].astype(np.float32).mean(axis=0) + 1 for p in (picture, good))
    gain = np.clip(own / theirs, 1 / _MOST_GAIN, _MOST_GAIN)
    mixed = picture * (1 - soft[..., None]) + good * gain * soft[..., None]
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
