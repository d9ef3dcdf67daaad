"""Conformal calibration: thresholds and p-values from held-out normals alone.

With n exchangeable held-out scores, the asked share of future normals exceeds the chosen order
statistic (Vovk, Gammerman & Shafer 2005). Photographs of one part are not exchangeable with those
of another, so that parts are: each part weighs one, shared among its photographs (hierarchical
conformal prediction, Lee, Barber & Willett 2023). How much of its weight a new part brings along is
estimated by leaving out each part in turn: all where its photographs are alike, hardly any where
they are not. Between two held-out scores the threshold is interpolated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.experts.types import Rows

Scores = npt.NDArray[np.float64]
_STATED = ("asked_rate", "rate", "threshold", "own_weight")
_BINS = 40
"""Of the histogram that the manifest shows."""
_RATES = 16
"""Rates at which ``own_weight`` leaves out each part."""
_TAIL = 0.1
"""Share of the reference behind the tail of ``Reference``."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out normals' scores, ascending, and the threshold at the rate asked for."""

    scores: Scores
    weights: Scores
    """Each score's share of its group; a group's weights sum to 1."""
    asked_rate: float
    rate: float
    """The rate the threshold stands for: ``asked_rate``, or the smallest attainable."""
    threshold: float
    own_weight: float = 1.0
    """Weight that a new part adds above its own photographs, 0 to 1, see ``own_weight``."""

    @property
    def groups(self) -> int:
        """Independent groups behind the threshold."""
        return round(float(self.weights.sum()))

    def p_value(self, score: float) -> float:
        """Share of held-out groups at least as odd, the new part counted in: (0, 1].

        Never too small: it takes the new part's photographs to be alike, where the threshold goes
        by ``own_weight``, so that it may exceed the rate by ``1 / (groups + 1)`` at the threshold.
        """
        first = int(np.searchsorted(self.scores, score, side="left"))
        above = float(self.weights[first:].sum())
        return min(1.0, (above + 1) / (self.groups + 1))

    def warnings(self) -> list[str]:
        """What to say where too few groups were held out for the rate asked for."""
        if self.rate <= self.asked_rate:
            return []
        return [
            f"{self.groups} independent groups vouch for a rate of {self.rate:.4f} "
            f"at best, not for {self.asked_rate}: the threshold stands for the former"
        ]

    def described(self) -> dict[str, float]:
        """Its part of an artifact's manifest."""
        stated = {name: getattr(self, name) for name in _STATED}
        return {**stated, "groups": self.groups}

    def histogram(self) -> dict[str, float | list[float]]:
        """How odd the held-out normals are, each group weighing one: bins of one width.

        Its part of an artifact's manifest; nothing is decided by it.
        """
        counts, edges = np.histogram(self.scores, _BINS, weights=self.weights)
        first, width = float(edges[0]), float(edges[1] - edges[0])
        return {
            "first": round(first, 6),
            "width": round(width, 9),
            "parts": [round(float(count), 3) for count in counts],
        }

    def tensors(self) -> dict[str, Scores]:
        """Its part of an artifact's tensors."""
        return {"calibration.scores": self.scores, "calibration.weights": self.weights}

    @classmethod
    def restored(
        cls, described: Mapping[str, float], tensors: Mapping[str, npt.NDArray[np.float32] | Scores]
    ) -> "Calibration":
        """The calibration that ``described`` and ``tensors`` came from."""
        scores, weights = (
            np.asarray(tensors[f"calibration.{part}"], np.float64) for part in ("scores", "weights")
        )
        stated = {name: described[name] for name in _STATED if name in described}
        return cls(scores, weights, **stated)


def calibrate(scores: Scores, groups: Sequence[str], rate: float) -> Calibration:
    """The conformal threshold: the score that a share ``rate`` of normal parts exceeds.

    Args:
        scores: scores of held-out normals, in any order.
        groups: the part or capture each belongs to.
        rate: share asked for. Where fewer than ``1 / rate - 1`` groups make it unattainable the
            smallest attainable one is used, and ``rate`` of the result says so.

    >>> found = calibrate(np.arange(99.0), [str(part) for part in range(99)], rate=0.05)
    >>> round(found.threshold, 6), found.p_value(98.5)
    (94.0, 0.01)
    """
    names, index, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    weights = (1.0 / sizes)[index][order]
    used = max(rate, 1 / (len(names) + 1))
    own = own_weight(ordered, index[order], sizes, used)
    above = max(used * (len(names) + own) - own, 0.0)
    threshold = float(exceeded_by(ordered, weights, np.array([above]))[0])
    return Calibration(ordered, weights, rate, used, threshold, own)


def own_weight(ordered: Scores, index: Rows, sizes: Rows, rate: float) -> float:
    """How much of its weight a new part brings above its photographs, 0 to 1.

    Each part is left out in turn: thresholds that a share of the others exceeds are exceeded by a
    larger share of the one left out. The difference, times the number of parts, is what a part
    weighs by itself: 1 where its photographs are alike.

    Args:
        ordered: ascending scores.
        index: the part of each.
        sizes: photographs by part.
        rate: rates up to twice this one are looked at.
    """
    parts = len(sizes)
    if parts < 3 or sizes.max() == 1:
        return 1.0
    rates = np.linspace(0, 2 * rate, _RATES + 1)[1:]
    weights = (1.0 / sizes)[index]
    seen = np.zeros(_RATES)
    for part in range(parts):
        others = index != part
        cuts = exceeded_by(ordered[others], weights[others], rates * (parts - 1))
        seen += (ordered[~others] > cuts[:, None]).mean(axis=1)
    return float(np.clip((seen - rates * parts).mean(), 0, 1))


def exceeded_by(ordered: Scores, weights: Scores, above: Scores) -> Scores:
    """Thresholds that scores of the weights ``above`` exceed, between scores by interpolation."""
    higher = np.cumsum(weights[::-1]) - weights[::-1]
    return np.interp(above + 1e-9, higher, ordered[::-1])


@dataclass(frozen=True, eq=False)
class Reference:
    """Held-out normals' values, ascending, with the tail that continues them.

    Inside the reference a p-value is empirical; beyond its 90th percentile a generalised Pareto
    tail continues it (probability-weighted moments, Hosking & Wallis 1987; shape 0 to 0.9), so
    that odder stays odder and a heavy-tailed head does not outvote the others.
    """

    values: Scores
    ranks: Scores
    """Empirical distribution function at ``values``."""
    cut: float
    """Value at which the tail begins."""
    shape: float
    scale: float

    @classmethod
    def of(cls, values: Scores) -> "Reference":
        """Fit the tail of ascending ``values``, once."""
        n = len(values)
        cut = float(np.quantile(values, 1 - _TAIL))
        shape, scale = _pareto(np.sort(values[values >= cut] - cut))
        return cls(values, np.arange(1, n + 1) / (n + 1), cut, shape, scale)

    def surprise(self, score: Scores) -> Scores:
        """Minus the log of each score's p-value."""
        given = np.asarray(score, dtype=np.float64)
        rank = np.interp(given, self.values, self.ranks)
        body = -np.log(np.clip(1 - rank, _TAIL, 1.0))
        beyond = np.clip(given - self.cut, 0, None) / self.scale
        curved = self.shape > 1e-3
        tail = np.log1p(self.shape * beyond) / self.shape if curved else beyond
        return np.where(given > self.cut, tail - np.log(_TAIL), body)


def _pareto(excess: Scores) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution of ascending excesses."""
    count = len(excess)
    mean = float(excess.mean()) + 1e-9
    weighted = float(((1 - (np.arange(1, count + 1) - 0.35) / count) * excess).mean())
    gap = mean - 2 * weighted
    shape = 0.0 if gap <= 0 else float(np.clip(2 - mean / gap, 0, 0.9))
    return shape, mean * (1 - shape)
