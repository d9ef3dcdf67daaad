"""What moved: light changes brightness or contrast, focus changes sharpness."""

import cv2
import numpy as np
import pytest

from serving.experts.look import Look, measure_look
from serving.experts.types import Image


def grainy(height: int = 200, width: int = 240) -> Image:
    rng = np.random.default_rng(0)
    grain = cv2.GaussianBlur(rng.normal(110, 60, (height, width)).astype(np.float32), (0, 0), 0.8)
    return np.repeat(np.clip(grain, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_less_light_is_darker_and_nothing_else() -> None:
    image = grainy()
    plain, dark = measure_look(image), measure_look((image * 0.7).astype(np.uint8))
    assert dark.brightness == pytest.approx(0.7 * plain.brightness, rel=0.02)
    assert dark.contrast == pytest.approx(plain.contrast, rel=0.03)
    assert dark.sharpness == pytest.approx(plain.sharpness, rel=0.03)


def test_blur_is_less_sharp() -> None:
    image = grainy()
    blurred = measure_look(cv2.GaussianBlur(image, (0, 0), 1.5))
    assert blurred.sharpness < 0.8 * measure_look(image).sharpness
    assert blurred.brightness == pytest.approx(measure_look(image).brightness, rel=0.01)


def test_large_pictures_are_measured_as_small_ones() -> None:
    large = measure_look(np.tile(grainy(), (8, 8, 1)))
    small = measure_look(grainy())
    assert large.brightness == pytest.approx(small.brightness, rel=0.02)
    assert large.sharpness == pytest.approx(small.sharpness, rel=0.05)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_the_smallest_and_the_darkest_pictures(side: int) -> None:
    assert measure_look(np.zeros((side, side, 3), np.uint8)) == Look(0.0, 0.0, 1.0)
