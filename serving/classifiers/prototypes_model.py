"""Naming by prototypes, as plain mathematics: no pictures, no clock, no event loop.

A class is the unit mean of its examples' vectors (Snell et al. 2017, "Prototypical Networks",
without the training). Which class: a softmax over cosines. Whether any: a logistic function of the
nearest cosine. Both are calibrated on the examples themselves, each judged by prototypes that
never saw its part; few examples move the calibration little from its prior.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serving.classifiers.features import Floats, unit

TEMPERATURES: Final = tuple(float(t) for t in np.geomspace(0.02, 0.5, 25))
PRIOR_TEMPERATURE: Final = 0.1
"""Before any evidence; on the textile set .08 to .12 is calibrated."""
PRIOR_FLOOR: Final = 0.35
"""Cosine at which known and unknown are even, before any evidence."""
SLOPE: Final = 12.0
"""Of the logistic function, per unit of cosine."""
PRIOR_EXAMPLES: Final = 6.0
"""How many left-out examples the priors weigh."""


@dataclass(frozen=True)
class Naming:
    """What the prototypes say of one region."""

    probabilities: Mapping[str, float]
    """Of each class, given that it is one of them."""
    known: float
    """Probability that it is one of them."""
    similarity: float
    """Cosine to the nearest prototype."""

    @property
    def best(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def confidence(self) -> float:
        """Probability of the best class."""
        return self.known * self.probabilities[self.best]


@dataclass(frozen=True)
class PrototypeModel:
    """Prototypes with their calibration. ``prototypes`` float32 (classes, n), unit rows."""

    classes: tuple[str, ...]
    prototypes: Floats
    temperature: float
    floor: float

    def name(self, vector: Floats, among: Collection[str] | None = None) -> Naming | None:
        """Name one vector among some of the classes; None when none of them has examples."""
        wanted = [i for i, c in enumerate(self.classes) if among is None or c in among]
        if not wanted:
            return None
        cosines = self.prototypes[wanted] @ unit(vector)
        powers = np.exp((cosines - cosines.max()) / self.temperature)
        shares = powers / powers.sum()
        best = float(cosines.max())
        known = 1.0 / (1.0 + float(np.exp(-SLOPE * (best - self.floor))))
        names = {self.classes[i]: float(p) for i, p in zip(wanted, shares, strict=True)}
        return Naming(names, known, best)


def fit(vectors: Floats, labels: Sequence[str], groups: Sequence[str]) -> PrototypeModel:
    """Prototypes of labelled vectors (n, d); ``groups`` names each one's part."""
    classes = tuple(dict.fromkeys(labels))
    units = unit(vectors)
    truth = np.array([classes.index(label) for label in labels])
    members = [truth == i for i in range(len(classes))]
    prototypes = unit(np.stack([units[m].mean(0) for m in members]))
    left = _left_out(units, truth, np.array(groups), prototypes)
    return PrototypeModel(classes, prototypes, _temperature(left), _floor(left))


@dataclass(frozen=True)
class _LeftOut:
    """Cosines (n, classes) of examples to prototypes that never saw their part, and own class."""

    cosines: Floats
    truth: npt.NDArray[np.int64]

    @property
    def own(self) -> Floats:
        return np.asarray(self.cosines[np.arange(len(self.truth)), self.truth], np.float32)

    @property
    def strangers(self) -> Floats:
        """Nearest cosine when the own class is hidden: each example as an unknown."""
        hidden = self.cosines.copy()
        hidden[np.arange(len(self.truth)), self.truth] = -np.inf
        return np.asarray(hidden.max(1), np.float32)


def _left_out(
    units: Floats,
    truth: npt.NDArray[np.int64],
    groups: npt.NDArray[np.str_],
    prototypes: Floats,
) -> _LeftOut:
    rows, labels = [], []
    for i, vector in enumerate(units):
        others = (truth == truth[i]) & (groups != groups[i])
        if others.any():
            without = prototypes.copy()
            without[truth[i]] = unit(units[others].mean(0))
            rows.append(without @ vector)
            labels.append(truth[i])
    shape = (0, len(prototypes))
    return _LeftOut(
        np.stack(rows) if rows else np.zeros(shape, np.float32), np.array(labels, dtype=np.int64)
    )


def _temperature(left: _LeftOut) -> float:
    if left.cosines.shape[1] < 2 or not len(left.truth):
        return PRIOR_TEMPERATURE

    def loss(temperature: float) -> float:
        logits = left.cosines / temperature
        top = logits.max(1)
        sums = np.log(np.exp(logits - top[:, None]).sum(1)) + top
        prior = PRIOR_EXAMPLES * 0.5 * np.log(temperature / PRIOR_TEMPERATURE) ** 2
        return float((sums - left.own / temperature).sum() + prior)

    return min(TEMPERATURES, key=loss)


def _floor(left: _LeftOut) -> float:
    """Where a left-out example of a class is as likely as one of a class never taught."""
    if left.cosines.shape[1] < 2 or not len(left.truth):
        return PRIOR_FLOOR
    middle = (float(np.median(left.own)) + float(np.median(left.strangers))) / 2
    weight = len(left.truth) / (len(left.truth) + PRIOR_EXAMPLES)
    return weight * middle + (1 - weight) * PRIOR_FLOOR
