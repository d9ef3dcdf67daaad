"""Small charts as numbers for SVG, which need no script, print and zoom. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import Final

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


Estimate = tuple[float, float, float]
"""A share, and the ends of its interval."""
_TICKS: Final = 4


@dataclass(frozen=True)
class ShareAxis:
    """A vertical axis of shares, between round numbers."""

    bottom: float
    top: float
    ticks: tuple[float, ...]
    decimals: int
    """Of the ticks in per cent."""

    @classmethod
    def over(cls, found: Iterable[Estimate | None]) -> "ShareAxis":
        """From the lowest end to the highest.

        >>> axis = ShareAxis.over([(0.94, 0.93, 0.95), None, (0.965, 0.96, 0.97)])
        >>> axis.bottom, axis.top, axis.ticks
        (0.93, 0.97, (0.93, 0.94, 0.95, 0.96, 0.97))
        """
        known = [one for one in found if one is not None]
        low = min((one[1] for one in known), default=0.0)
        high = max((one[2] for one in known), default=1.0)
        rough = max((high - low) / _TICKS, 1e-5)
        unit = 10.0 ** floor(log10(rough))
        step = next(unit * size for size in (1, 2, 5, 10) if unit * size >= rough * 0.999)
        first, last = floor(low / step + 1e-6), ceil(high / step - 1e-6)
        ticks = [round(step * n, 9) for n in range(first, max(last, first + 1) + 1)]
        ticks = [tick for tick in ticks if 0 <= tick <= 1]
        decimals = max(0, -floor(log10(step * 100) + 1e-9))
        return cls(ticks[0], ticks[-1], tuple(ticks), decimals)

    def y(self, share: float) -> float:
        """Where a share stands, in units of the SVG."""
        return HEIGHT * (self.top - share) / (self.top - self.bottom)

    def x(self, share: float, width: float) -> float:
        """The same on an axis that lies."""
        return width * (share - self.bottom) / (self.top - self.bottom)


@dataclass(frozen=True)
class TrendPoint:
    """One span of a trend."""

    row: int
    """Which of the given ones."""
    x: float
    y: float
    low_y: float
    high_y: float


@dataclass(frozen=True)
class Trend:
    """A share over time, its interval as a band; where a span is missing, so is the line."""

    axis: ShareAxis
    runs: tuple[tuple[TrendPoint, ...], ...]
    step: float
    """Between two spans, in units of the SVG."""

    @classmethod
    def of(cls, found: Sequence[Estimate | None], places: Sequence[int]) -> "Trend":
        """The points.

        Args:
            found: of each span; None where nothing is known of it.
            places: their numbers in time, from 0 on, ascending.

        >>> made = Trend.of([(0.5, 0.4, 0.6), (0.5, 0.4, 0.6), None, (0.6, 0.4, 0.6)], [0, 1, 2, 4])
        >>> [[point.row for point in run] for run in made.runs], made.step
        ([[0, 1], [3]], 96.0)
        """
        axis = ShareAxis.over(found)
        step = WIDTH / (places[-1] + 1) if places else WIDTH
        runs: list[list[TrendPoint]] = []
        last = None
        for row, (estimate, place) in enumerate(zip(found, places, strict=True)):
            if estimate is None:
                continue
            ys = [axis.y(share) for share in estimate]
            if last is None or place > last + 1:
                runs.append([])
            runs[-1].append(TrendPoint(row, step * (place + 0.5), *ys))
            last = place
        return cls(axis, tuple(tuple(run) for run in runs), step)

    @property
    def lines(self) -> list[str]:
        """The points of each run, for SVG."""
        return [" ".join(f"{p.x:.1f},{p.y:.1f}" for p in run) for run in self.runs]

    @property
    def bands(self) -> list[str]:
        """The interval of each run as a polygon; of a single span as wide as a third of it."""
        return [_band(run, self.step) for run in self.runs]


def _band(run: Sequence[TrendPoint], step: float) -> str:
    wide = min(step, 24.0) / 6
    ends = [(p.x + dx, p) for p in run for dx in ((-wide, wide) if len(run) == 1 else (0.0,))]
    above = [f"{x:.1f},{p.high_y:.1f}" for x, p in ends]
    below = [f"{x:.1f},{p.low_y:.1f}" for x, p in reversed(ends)]
    return " ".join(above + below)
