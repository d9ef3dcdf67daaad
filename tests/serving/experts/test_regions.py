"""Regions in image pixels, from maps at their own resolution."""

import numpy as np
import pytest

from serving.experts.regions import make_region


def blob_map() -> np.ndarray:
    values = np.full((32, 32), 0.1, np.float32)
    values[4:8, 6:16] = 2.0
    values[5, 10] = 3.0
    values[20:22, 20:22] = 1.5
    return values


def test_pieces_are_measured_in_image_pixels() -> None:
    found = make_region(blob_map(), 1.0, height=320, width=640)
    large, small = found.blobs
    assert large.box == (120, 40, 200, 40)
    assert large.area_px == pytest.approx(4 * 10 * 10 * 20)
    assert large.longest_side_px == pytest.approx(200, rel=0.01)
    assert large.centroid == pytest.approx((220, 60))
    assert large.peak == 3.0
    assert small.area_px == pytest.approx(800)
    assert found.area_px == pytest.approx(8800)
    assert found.contrast > 10
    assert found.mask.shape == (32, 32)


def test_contours_surround_the_pieces() -> None:
    lines = make_region(blob_map(), 1.0, 320, 640).contours()
    assert len(lines) == 2
    corners = max(lines, key=lambda line: float(np.ptp(line[:, 0])))
    assert corners[:, 0].min() == pytest.approx(120, abs=8)
    assert corners[:, 0].max() == pytest.approx(320, abs=8)


def test_an_odd_image_without_a_pixel_above_the_cut_shows_its_peak() -> None:
    values = np.zeros((16, 16), np.float32)
    values[3, 4] = 0.5
    found = make_region(values, 1.0, 16, 16)
    assert found.mask.sum() == 1
    assert found.blobs[0].box == (4, 3, 1, 1)


def test_a_flat_map_has_a_region_all_the_same() -> None:
    found = make_region(np.ones((8, 8), np.float32), 2.0, 64, 64)
    assert found.area_px == 64 * 64
