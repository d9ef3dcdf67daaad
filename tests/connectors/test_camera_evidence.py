"""What is kept of a refused picture fits a message."""

import cv2
import numpy as np
import pytest

from connectors.cameras.evidence import evidence_of
from streams.ports import Picture


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_large_picture_is_made_small_enough(kind: type) -> None:
    noise = np.random.default_rng(1).integers(0, np.iinfo(kind).max, (300, 400)).astype(kind)
    picture = Picture(cv2.imencode(".png", noise)[1].tobytes(), "image/png", "1.png")
    assert evidence_of(picture) is picture
    small = evidence_of(picture, 20_000)
    assert len(small.data) <= 20_000
    assert small.content_type == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(small.data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_what_is_no_picture_is_kept_as_it_is() -> None:
    picture = Picture(b"x" * 100, "image/png")
    assert evidence_of(picture, 10) is picture
