"""A region is drawn on the picture as the expert saw it: upright, scaled and without lost bytes."""

import cv2
import numpy as np
import pytest

from history.pictures import outlined
from streams.errors import UndecodableImageError
from streams.events import Region
from streams.regions import encode_mask
from tests.streams.images.made import by_kind

HEIGHT, WIDTH = 96, 128


def region(height: int, width: int) -> Region:
    mask = np.zeros((height // 8, width // 8), np.bool_)
    mask[:3, :3] = True
    size = {"image_height": height, "image_width": width}
    return Region(
        **size, mask_height=height // 8, mask_width=width // 8, mask_rle=encode_mask(mask)
    )


@pytest.mark.parametrize("kind", ["jpg", "png 12 of 16", "tif 16 colour", "png alpha", "gif"])
def test_every_kind_is_drawn_upright(kind: str) -> None:
    height, width = (WIDTH, HEIGHT) if kind == "jpg" else (HEIGHT, WIDTH)
    drawn = cv2.imdecode(
        np.frombuffer(outlined(by_kind()[kind], region(height, width)), np.uint8), cv2.IMREAD_COLOR
    )
    assert drawn.shape == (height, width, 3)
    red = (drawn == (0, 0, 255)).all(axis=2)
    assert red[:24, :24].sum() > 40
    assert not red[26:, 26:].any()
    assert 60 < drawn.mean() < 200


def test_a_picture_that_lost_bytes_is_not_drawn_on() -> None:
    with pytest.raises(UndecodableImageError):
        outlined(by_kind()["png"][:900], region(HEIGHT, WIDTH))
