"""Running means and deviations of a picture's statistics, and which of them differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from streams.roles.drift.quantities import PICTURE

_CERTAIN = 5.0
"""Standard errors by which two means must differ."""
_FEWEST = 3
"""Pictures needed on either side."""
_MEANS = {"brightness": "light", "contrast": "light", "sharpness": "focus"}


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sums and sums of squares of the picture's statistics, in the order of ``PICTURE``."""

    count: int = 0
    sums: tuple[float, ...] = (0.0,) * len(PICTURE)
    squares: tuple[float, ...] = (0.0,) * len(PICTURE)

    def plus(self, values: Mapping[str, float]) -> "Moments":
        """One more picture; one whose statistics are not known changes nothing."""
        if any(name not in values for name in PICTURE):
            return self
        new = [values[name] for name in PICTURE]
        return Moments(
            count=self.count + 1,
            sums=tuple(a + b for a, b in zip(self.sums, new, strict=True)),
            squares=tuple(a + b * b for a, b in zip(self.squares, new, strict=True)),
        )

    def merged(self, other: "Moments") -> "Moments":
        """Both together."""
        return Moments(
            count=self.count + other.count,
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            squares=tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
        )

    def mean(self, index: int) -> float:
        """Mean of one statistic."""
        return self.sums[index] / self.count

    def variance(self, index: int) -> float:
        """Variance of one statistic, at least that of a thousandth of its mean."""
        spread = self.squares[index] / self.count - self.mean(index) ** 2
        return max(spread, (1e-3 * self.mean(index)) ** 2)


@dataclass(frozen=True)
class PictureShift:
    """How far one statistic moved."""

    name: str
    before: float
    since: float
    deviations: float
    """The change, in deviations between the pictures before it."""

    @property
    def moved(self) -> str:
        """``light`` or ``focus``."""
        return _MEANS[self.name]

    def __str__(self) -> str:
        return f"{self.name} {self.before:.3g} -> {self.since:.3g} ({self.deviations:+.1f} sd)"


def shifts(before: Moments, since: Moments) -> tuple[PictureShift, ...]:
    """The statistics that differ for certain, the largest change first.

    The deviation is that of the pictures before: those since may hold some from before the change.
    """
    if min(before.count, since.count) < _FEWEST:
        return ()
    found = []
    for index, name in enumerate(PICTURE):
        change = since.mean(index) - before.mean(index)
        spread = before.variance(index)
        error = math.sqrt(spread / before.count + spread / since.count)
        if abs(change) >= _CERTAIN * error:
            size = change / math.sqrt(spread)
            found.append(PictureShift(name, before.mean(index), since.mean(index), size))
    return tuple(sorted(found, key=lambda shift: -abs(shift.deviations)))
