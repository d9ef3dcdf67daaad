"""Conformal calibration: thresholds and p-values from held-out normals alone.

Vovk, Gammerman & Shafer 2005: with n exchangeable held-out scores, the share of future normals
above the chosen order statistic is at most the rate asked for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out normals' scores, ascending, and the threshold at the rate asked for."""

    scores: Scores
    asked_rate: float
    rate: float
    """The rate the threshold stands for: ``asked_rate``, or the smallest attainable."""
    threshold: float

    def p_value(self, score: float) -> float:
        """Share of held-out normals at least as odd, the new image counted in: (0, 1]."""
        above = len(self.scores) - int(np.searchsorted(self.scores, score, side="left"))
        return (above + 1) / (len(self.scores) + 1)


def calibrate(scores: Scores, rate: float) -> Calibration:
    """The conformal threshold: the score that a share ``rate`` of normals exceeds at most.

    With fewer than ``1 / rate - 1`` scores the rate is unattainable; then the smallest
    attainable one, ``1 / (n + 1)``, is used and said.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    smallest = 1 / (len(ordered) + 1)
    used = max(rate, smallest)
    index = int(np.ceil((len(ordered) + 1) * (1 - used) - 1e-9)) - 1
    return Calibration(ordered, rate, used, float(ordered[min(index, len(ordered) - 1)]))


def surprise(score: Scores, reference: Scores) -> Scores:
    """Minus the log of a p-value against ascending ``reference``, the tail exponential.

    Inside the reference the p-value is empirical; beyond its 90th percentile an exponential
    tail with the mean excess seen there continues it, so that odder stays odder.
    """
    n = len(reference)
    cut = float(np.quantile(reference, 0.9))
    excess = float(np.mean(reference[reference >= cut] - cut)) + 1e-9
    rank = np.interp(score, reference, np.arange(1, n + 1) / (n + 1))
    body = -np.log(np.clip(1 - rank, 0.1, 1.0))
    tail = -np.log(0.1) + (np.asarray(score) - cut) / excess
    return np.where(np.asarray(score) > cut, tail, body)
