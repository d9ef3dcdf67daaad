"""Does a picture stand as the product's normals do? Limits of focus and exposure. Pure.

Three figures are compared: by how much the picture is brighter than the normals' median, how much
fine detail it has for its brightness, and how much fine detail for its coarse detail. Defects are
local and hardly move them; a lens or a light that moved changes the whole picture.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from connectors.cameras.health import PictureFigures
from connectors.errors import NormalsError

LEAST_NORMALS: Final = 20
"""Fewer normals do not say how much good pictures differ."""
_SPREADS: Final = 6.0
"""A limit is so many robust deviations of the normals from their median, ..."""
_BEYOND: Final = 1.25
"""... no nearer than so many times the normal that is furthest from it, ..."""
_LEAST_GAIN: Final = 1.1
"""... and never nearer than this factor of the exposure ..."""
_LEAST_DETAIL: Final = 1.15
"""... or of the detail."""
_DARK, _WHITE, _LIFT = 0.05, 0.98, 0.01
"""Brightness levels between these tell the exposure; lifted so that noise in the dark is small."""
_NOTHING: Final = 1e-6
VERSION: Final = 1
ALL_PRODUCTS: Final = "*"
"""Stands in the settings for every product without limits of its own."""


@dataclass(frozen=True)
class NormalLimits:
    """What a product's normals look like to a camera, from good pictures alone."""

    pictures: int
    """How many normals were measured."""
    levels: tuple[float, ...]
    """The median of their brightness at each tenth of the pixels, as a share of white."""
    gain_least: float
    """A picture this many times as bright is exposed too little ..."""
    gain_most: float
    """... and above this many times too much."""
    detail_least: float
    """Least fine detail over brightness."""
    focus_least: float
    """Least fine detail over coarse detail."""

    def fault_of(self, found: PictureFigures) -> str:
        """What differs from the normals, in words; empty when nothing does."""
        gain = gain_of(found.levels, self.levels)
        if gain is not None and not self.gain_least <= gain <= self.gain_most:
            return (
                f"another exposure than the product's normals: it is {gain:.2f} times as bright "
                f"({self.gain_least:.2f} to {self.gain_most:.2f})"
            )
        for what, value, least in (
            ("over its brightness", found.detail, self.detail_least),
            ("over its coarse detail", found.focus, self.focus_least),
        ):
            if value < least:
                return (
                    f"out of focus against the product's normals: its fine detail {what} is "
                    f"{value:.3g} (least {least:.3g})"
                )
        return ""

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "NormalLimits":
        """As ``to_json`` wrote it. Raises ``NormalsError``."""
        try:
            read = json.loads(text)
            if read.pop("version") != VERSION:
                raise ValueError("of another version")
            found = cls(**{**read, "levels": tuple(map(float, read["levels"]))})
            numbers = (found.gain_least, found.gain_most, found.detail_least, found.focus_least)
            if not all(np.isfinite(float(n)) for n in (*numbers, *found.levels)):
                raise ValueError("a limit is no number")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NormalsError(
                f"no limits of `andon camera normals` ({str(error)[:200]}); measure them anew"
            ) from None
        return found


def limits_from(normals: Sequence[PictureFigures]) -> NormalLimits:
    """The limits of a product by its normals.

    Raises:
        NormalsError: there are too few.
    """
    if len(normals) < LEAST_NORMALS:
        raise NormalsError(
            f"{len(normals)} normals; at least {LEAST_NORMALS} are needed to know how they differ"
        )
    levels = tuple(float(n) for n in np.median([found.levels for found in normals], axis=0))
    gains = [gain_of(found.levels, levels) for found in normals]
    known = [gain for gain in gains if gain is not None]
    least, most = _range(known, _LEAST_GAIN) if known else (0.0, float("inf"))
    most = min(most, float(np.finfo(np.float32).max))
    return NormalLimits(
        len(normals), levels, least, most,
        _range([found.detail for found in normals], _LEAST_DETAIL)[0],
        _range([found.focus for found in normals], _LEAST_DETAIL)[0],
    )  # fmt: skip


def gain_of(levels: Sequence[float], normal: Sequence[float]) -> float | None:
    """How many times as bright a picture is; None where all is black or white in the normals.

    >>> gain_of((0.2, 0.4, 0.6), (0.1, 0.2, 0.3))
    1.9523809523809523
    """
    found, mid = np.asarray(levels), np.asarray(normal)
    tells = (mid > _DARK) & (mid < _WHITE)
    if not tells.any():
        return None
    return float(np.median((found[tells] + _LIFT) / (mid[tells] + _LIFT)))


def _range(values: Sequence[float], least_factor: float) -> tuple[float, float]:
    """Around the median on the scale of logarithms, as wide as the normals ask for."""
    if min(values) < _NOTHING:  # a normal without any: nothing can have less
        return 0.0, float("inf")
    logs = np.log(values)
    middle = float(np.median(logs))
    away = np.abs(logs - middle)
    spread = 1.4826 * float(np.median(away))
    reach = max(_SPREADS * spread, _BEYOND * float(away.max()), float(np.log(least_factor)))
    return float(np.exp(middle - reach)), float(np.exp(middle + reach))
