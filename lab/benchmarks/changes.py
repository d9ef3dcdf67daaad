"""Changes of light and focus, as one function from picture to picture each."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from serving.experts.types import Image

Change = Callable[[Image], Image]


def gamma(exponent: float) -> Change:
    """Grey values to a power: below 1 the picture gets lighter in the dark.

    >>> int(gamma(0.5)(np.full((1, 1, 3), 64, np.uint8))[0, 0, 0])
    128
    """
    table = np.round(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return lambda image: np.asarray(table[image])


def gradient(share: float) -> Change:
    """From ``1 - share`` of the light on the left to ``1 + share`` on the right."""

    def change(image: Image) -> Image:
        light = np.linspace(1 - share, 1 + share, image.shape[1], dtype=np.float32)
        lit = image.astype(np.float32) * light[None, :, None]
        return np.clip(np.round(lit), 0, 255).astype(np.uint8)

    return change


def gain(factor: float) -> Change:
    """So much of the light everywhere."""
    return lambda image: np.clip(np.round(image * factor), 0, 255).astype(np.uint8)


def defocus(sigma: float) -> Change:
    """A Gaussian blur, ``sigma`` in pixels."""
    return lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


CHANGES: Mapping[str, Change] = {
    "gamma .8": gamma(0.8),
    "gamma .6": gamma(0.6),
    "gradient .4": gradient(0.4),
    "gain .8": gain(0.8),
    "defocus 1 px": defocus(1.0),
}
"""What the benchmark of drift tries; a gradient is from 1 - .4 to 1 + .4 across the picture."""
EXPECTED: Mapping[str, str] = dict.fromkeys(CHANGES, "light") | {"defocus 1 px": "focus"}
"""What a person would say that moved."""
