"""Finds the zone of the part that an odd region touches, at the resolution of its mask."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from policies.model import Zone
from streams.events import Region
from streams.ports import Situation
from streams.run_lengths import cells_inside, read_runs

Corners = tuple[tuple[float, float], ...]
MAX_CELLS = 1 << 22
"""Largest mask that is looked at; a larger one is judged by its pieces' boxes."""


class ZoneMap:
    """The zones of a policy. Rasterised once per mask size, station and scale."""

    def __init__(self, zones: tuple[Zone, ...]) -> None:
        self._zones = zones

    def zone_of(self, situation: Situation, mm_per_px: float | None) -> str:
        """Name of the first zone that the region touches; '' when none or without a region.

        A zone in millimetres is not there where the station has no scale.
        """
        region = situation.inspection.region if situation.inspection else None
        if region is None or not self._zones:
            return ""
        flat = _touched_cells(region)
        for zone in self._zones:
            if zone.stations and situation.station not in zone.stations:
                continue
            corners = _as_fractions(zone, region, mm_per_px)
            if corners and _touches(corners, flat, region):
                return zone.name
        return ""


def _as_fractions(zone: Zone, region: Region, mm_per_px: float | None) -> Corners:
    if zone.unit == "fraction":
        return zone.polygon
    if zone.unit == "mm" and mm_per_px is None:
        return ()
    per_px = 1.0 if zone.unit == "px" else mm_per_px or 1.0
    width, height = max(region.image_width, 1) * per_px, max(region.image_height, 1) * per_px
    return tuple((x / width, y / height) for x, y in zone.polygon)


def _touches(corners: Corners, cells: npt.NDArray[np.intp], region: Region) -> bool:
    size = _size(region)
    return bool(_raster(corners, *size)[cells].any()) if cells.size else False


def _size(region: Region) -> tuple[int, int]:
    if 0 < region.mask_height * region.mask_width <= MAX_CELLS and region.mask_height > 0:
        return region.mask_height, region.mask_width
    return 256, 256


def _touched_cells(region: Region) -> npt.NDArray[np.intp]:
    """Row-major indices of the cells that belong to the region."""
    height, width = _size(region)
    if (height, width) == (region.mask_height, region.mask_width):
        runs = read_runs(region.mask_rle, height * width)
        if runs is not None:
            columns, rows = np.divmod(cells_inside(runs), height)
            return np.asarray(rows * width + columns, dtype=np.intp)
    return _cells_of_boxes(region, height, width)


def _cells_of_boxes(region: Region, height: int, width: int) -> npt.NDArray[np.intp]:
    """The cells of the pieces' boxes, for a mask that is absent, damaged or too large."""
    cells = np.zeros((height, width), dtype=np.bool_)
    fx, fy = width / max(region.image_width, 1), height / max(region.image_height, 1)
    for blob in region.blobs:
        top, left = _clip(blob.box.y * fy, height), _clip(blob.box.x * fx, width)
        bottom = _clip((blob.box.y + blob.box.height) * fy, height)
        right = _clip((blob.box.x + blob.box.width) * fx, width)
        cells[top : bottom + 1, left : right + 1] = True
    return np.flatnonzero(cells)


def _clip(value: float, size: int) -> int:
    return int(min(max(value, 0.0), size - 1.0))


@lru_cache(maxsize=256)
def _raster(corners: Corners, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Cells (flat, row-major) in which the polygon covers one of a grid of points.

    A polygon thinner than the grid is drawn by its outline instead.
    """
    fine = 5 if height * width <= 1 << 16 else 2 if height * width <= 1 << 20 else 1
    y = ((np.arange(height * fine) + 0.5) / (height * fine))[:, None]
    x = ((np.arange(width * fine) + 0.5) / (width * fine))[None, :]
    inside = np.zeros((height * fine, width * fine), dtype=np.bool_)
    for (x0, y0), (x1, y1) in _edges(corners):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    blocks = inside.reshape(height, fine, width, fine)
    cells: npt.NDArray[np.bool_] = np.asarray(blocks.any(axis=(1, 3)))
    if not cells.any():
        _draw_outline(corners, cells)
    return np.asarray(cells.ravel(), dtype=np.bool_)


def _draw_outline(corners: Corners, cells: npt.NDArray[np.bool_]) -> None:
    height, width = cells.shape
    for (x0, y0), (x1, y1) in _edges(corners):
        steps = 2 + int(2 * min(max(abs(x1 - x0) * width, abs(y1 - y0) * height), 1e5))
        columns = np.floor(np.linspace(x0, x1, steps) * width).astype(int)
        rows = np.floor(np.linspace(y0, y1, steps) * height).astype(int)
        seen = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        cells[rows[seen], columns[seen]] = True


def _edges(corners: Corners) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    return zip(corners, corners[1:] + corners[:1], strict=True)
