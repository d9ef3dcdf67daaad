"""What limits from normals find, tried on other normals: as they are, and spoilt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.cameras.health import figures_of
from connectors.cameras.measuring import Grey, read_grey
from connectors.cameras.normals import NormalLimits, limits_from

Pixels = npt.NDArray[np.float32]
_TRIED: Final = 100
"""So many normals are tried at most."""
_NOISE: Final = 1.5 / 255
"""Deviation of a sensor's noise, as a share of white: a blurred picture keeps it."""


@dataclass(frozen=True)
class NormalsTrial:
    """The limits of every second normal, tried on the others."""

    tried: int
    false_alarms: int
    """Normals that were refused as they are."""
    found: dict[str, float]
    """By what was done to them: the share of the normals that were refused then."""


def try_normals(
    paths: Sequence[Path], say: Callable[[str, int, int], None]
) -> tuple[NormalLimits, NormalsTrial]:
    """The limits by all normals, and what limits by half of them find on the other half.

    Args:
        paths: pictures of good parts.
        say: told the stage, how many are done, and of how many.

    Raises:
        NormalsError: there are fewer than twice as many as limits need, or one is no picture.
    """
    figures = []
    for done, path in enumerate(paths, 1):
        figures.append(figures_of(read_grey(path)))
        say("measure", done, len(paths))
    limits = limits_from(figures)
    half, others = limits_from(figures[::2]), paths[1::2][:_TRIED]
    counts = dict.fromkeys(_SPOILT, 0)
    alarms = sum(bool(half.fault_of(found)) for found in figures[1::2][:_TRIED])
    for done, path in enumerate(others, 1):
        grey = _shares(read_grey(path))
        for name, spoil in _SPOILT.items():
            spoilt = np.clip(spoil(grey), 0, 1) * 255
            counts[name] += bool(half.fault_of(figures_of(spoilt.astype(np.uint8))))
        say("try", done, len(others))
    shares = {name: round(count / len(others), 3) for name, count in counts.items()}
    return limits, NormalsTrial(len(others), alarms, shares)


def _shares(grey: Grey) -> Pixels:
    shares: Pixels = grey.astype(np.float32) / np.float32(np.iinfo(grey.dtype).max)
    return shares


def _blurred(sigma_px: float) -> Callable[[Pixels], Pixels]:
    def spoil(pixels: Pixels) -> Pixels:
        import cv2

        noise = np.random.default_rng(7).normal(0, _NOISE, pixels.shape)
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px) + noise, np.float32)

    return spoil


def _exposed(factor: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(pixels * factor, np.float32)


_SPOILT: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "blurred by 1 pixel": _blurred(1),
    "blurred by 2 pixels": _blurred(2),
    "blurred by 4 pixels": _blurred(4),
    "exposed at 0.5": _exposed(0.5),
    "exposed at 0.7": _exposed(0.7),
    "exposed at 1.4": _exposed(1.4),
    "exposed at 2": _exposed(2.0),
}
