"""Outlines of regions: a damaged one is drawn as none, and no page fails for it."""

import pytest

from console.outlines import outline_path
from tests.history import make


def test_a_square_is_a_closed_path_in_the_pixels_of_the_picture() -> None:
    path = outline_path(make.region())
    assert path.startswith("M")
    assert path.endswith("Z")


@pytest.mark.parametrize("change", [{"mask_rle": "?" * 40}, {"mask_width": 17}, {"mask_rle": ""}])
def test_a_damaged_region_has_no_outline(change: dict[str, object]) -> None:
    assert outline_path(make.region().model_copy(update=change)) == ""
