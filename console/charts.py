"""Small charts as numbers for SVG, which need no script, print and zoom. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from console.model_versions import RateShown, ScoreHistogram

WIDTH, HEIGHT = 480.0, 160.0
"""Of the area that is drawn on, in units of the SVG."""
LABEL_HEIGHT = 13.0
Point = tuple[float, float]


@dataclass(frozen=True)
class Bar:
    """One bin of a histogram."""

    x: float
    y: float
    width: float
    height: float
    above: bool
    """Whether all of it lies above the threshold."""


@dataclass(frozen=True)
class Histogram:
    """How odd normals are, with the threshold."""

    bars: tuple[Bar, ...]
    threshold: float | None
    """Where the line stands, in units of the SVG; None where it lies outside."""
    first: float
    last: float
    parts: float

    @classmethod
    def of(cls, found: ScoreHistogram, threshold: float | None) -> "Histogram":
        """The bars of a histogram.

        >>> made = Histogram.of(ScoreHistogram(first=0, width=1, parts=(4, 1)), 1.0)
        >>> made.bars[0].height, made.bars[1].above, made.threshold, made.parts
        (160.0, True, 240.0, 5.0)
        """
        most, step = max(found.parts) or 1.0, WIDTH / len(found.parts)
        last = found.first + found.width * len(found.parts)
        bars = []
        for number, parts in enumerate(found.parts):
            height = HEIGHT * parts / most
            begins = found.first + found.width * number
            above = threshold is not None and begins >= threshold - 1e-9
            bars.append(Bar(step * number, HEIGHT - height, step * 0.92, height, above))
        line = None
        if threshold is not None and found.first <= threshold <= last:
            line = WIDTH * (threshold - found.first) / (last - found.first)
        return cls(tuple(bars), line, found.first, last, float(sum(found.parts)))


@dataclass(frozen=True)
class RateLine:
    """What is found over the rate of false alarms, of one kind of defect."""

    name: str
    """Empty: faint synthetic defects."""
    points: tuple[Point, ...]
    last: float
    """The share at the highest rate."""
    label_y: float = 0.0
    """Where its name stands, apart from the others'."""

    @property
    def path(self) -> str:
        """For SVG."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


def rate_lines(rates: Sequence[RateShown]) -> list[RateLine]:
    """One line for synthetic defects, and one for each class that was taught.

    >>> rate = RateShown(asked_rate=.1, threshold=1, false_alarms=.1, low=0, high=1, found=.5)
    >>> rate_lines([rate])[0].points
    ((480.0, 80.0),)
    """
    if not rates:
        return []
    widest = max(rate.asked_rate for rate in rates) or 1.0

    def line(name: str, shares: Sequence[float]) -> RateLine:
        points = (
            (WIDTH * rate.asked_rate / widest, HEIGHT * (1 - share))
            for rate, share in zip(rates, shares, strict=True)
        )
        return RateLine(name, tuple(points), shares[-1])

    names = list(dict.fromkeys(name for rate in rates for name in rate.classes))
    taught = [line(name, [rate.classes.get(name, 0.0) for rate in rates]) for name in names]
    return _apart([line("", [rate.found for rate in rates]), *taught])


def _apart(lines: Sequence[RateLine]) -> list[RateLine]:
    """Names beside the ends of their lines, none over another."""
    placed, below = {}, LABEL_HEIGHT / 2
    for found in sorted(lines, key=lambda each: -each.last):
        below = max(below, HEIGHT * (1 - found.last))
        placed[found.name] = below
        below += LABEL_HEIGHT
    return [replace(found, label_y=placed[found.name]) for found in lines]
