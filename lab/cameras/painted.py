"""A picture that says when it was exposed: 32 bars, one for each bit of a count of milliseconds."""

import numpy as np
import numpy.typing as npt

_BITS, _BAR, _HEIGHT = 32, 8, 32


def painted(milliseconds: int) -> npt.NDArray[np.uint8]:
    """Pixels of shape (32, 256), uint8.

    >>> read_painted(painted(123_456))
    123456
    """
    bits = [(milliseconds >> bit) & 1 for bit in range(_BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 235 + 10, _BAR)
    return np.tile(row, (_HEIGHT, 1))


def read_painted(pixels: npt.NDArray[np.uint8]) -> int:
    """The milliseconds of a picture, grey or in colours, that may have been compressed."""
    grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    row = grey[grey.shape[0] // 2]
    return sum(1 << bit for bit in range(_BITS) if row[bit * _BAR + _BAR // 2] > 128)
