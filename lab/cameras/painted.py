"""A picture that says when it was exposed, and when a camera of the laboratory exposes one.

A picture has 32 bars, one for each bit of a count of milliseconds.
"""

import threading
import time

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


class PaintingCamera:
    """A camera that exposes at a steady rate, whoever looks, and paints the time of each exposure.

    Args:
        fps: frames per second.
        delay_s: from an exposure to its first byte, seconds.
    """

    def __init__(self, fps: float, delay_s: float) -> None:
        self.fps = fps
        self.delay_s = delay_s
        self.started = time.monotonic()
        self._stalled = threading.Event()
        self._stopped = threading.Event()

    def stall(self) -> None:
        """The connection stays, and nothing comes any more."""
        self._stalled.set()

    def now_ms(self) -> float:
        """What a picture exposed now would say, with its fraction."""
        return 1000 * (time.monotonic() - self.started)

    def exposed_ms(self, number: int) -> int:
        """What frame ``number`` says."""
        return round(1000 * number / self.fps)

    def next_number(self) -> int:
        """The first frame that is yet to be exposed."""
        return int((time.monotonic() - self.started) * self.fps) + 1

    def wait_to_send(self, number: int, delay_s: float) -> bool:
        """Sleep until that long after the exposure of ``number``; False: it was switched off."""
        at = self.started + number / self.fps + delay_s
        return not self._stopped.wait(max(at - time.monotonic(), 0)) and self.wait_while_stalled()

    def wait_while_stalled(self) -> bool:
        """False: it was switched off."""
        while self._stalled.is_set():
            if self._stopped.wait(0.02):
                return False
        return True

    def switch_off(self) -> None:
        """Nothing waits any more."""
        self._stopped.set()
