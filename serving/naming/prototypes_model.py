"""Naming by prototypes, as plain mathematics: no pictures, no clock, no event loop.

A class is the unit mean of its examples' vectors (Snell et al. 2017, "Prototypical Networks",
without the training), after half of what all classes have in common is taken away: being odd at
all must not make a stranger look known. Which class: a softmax over cosines. Whether any: a
logistic function of the nearest cosine. Both are calibrated on the examples
themselves, each judged by prototypes that never saw its part; few examples move the calibration
little from its prior (docs/prototypes.md says where the priors come from).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serving.naming.features import Floats, unit

COMMON_SHARE: Final = 0.5
"""Share of the prototypes' mean that is taken away from every vector."""
TEMPERATURES: Final = tuple(float(t) for t in np.geomspace(0.02, 0.5, 25))
PRIOR_TEMPERATURE: Final = 0.1
"""The temperature before there is any evidence."""
PRIOR_FLOOR: Final = 0.2
"""Cosine to a prototype of one example that speaks neither for known nor for unknown, a priori."""
PRIOR_AGREEMENT: Final = 0.3
"""Cosine between two examples of a class, before evidence: by it more examples raise the floor."""
SLOPE: Final = 10.0
"""Steepness of the logistic function, per unit of cosine."""
KNOWN_SHARE: Final = 0.8
"""Share of anomalies that are of a taught class, before the picture is seen."""
PRIOR_EXAMPLES: Final = 20.0
"""How many left-out examples the priors weigh."""


@dataclass(frozen=True)
class Naming:
    """What the prototypes say of one region."""

    probabilities: Mapping[str, float]
    """Probability of each class, given that it is one of them."""
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
    common: Floats
    """(n,): taken away from unit vectors before they are compared."""
    temperature: float
    floor: float

    def name(self, vector: Floats, among: Collection[str] | None = None) -> Naming | None:
        """Name one vector among some of the classes; None when none of them has examples."""
        wanted = [i for i, c in enumerate(self.classes) if among is None or c in among]
        if not wanted:
            return None
        cosines = self.prototypes[wanted] @ unit(unit(vector) - self.common)
        powers = np.exp((cosines - cosines.max()) / self.temperature)
        shares = powers / powers.sum()
        best = float(cosines.max())
        odds = KNOWN_SHARE / (1 - KNOWN_SHARE) * float(np.exp(SLOPE * (best - self.floor)))
        known = odds / (1 + odds)
        names = {self.classes[i]: float(p) for i, p in zip(wanted, shares, strict=True)}
        return Naming(names, known, best)


def fit(vectors: Floats, labels: Sequence[str], groups: Sequence[str]) -> PrototypeModel:
    """Prototypes of labelled vectors (n, d); ``groups`` names each one's part."""
    classes = tuple(dict.fromkeys(labels))
    units = unit(vectors)
    truth = np.array([classes.index(label) for label in labels])
    members = [truth == i for i in range(len(classes))]
    common = COMMON_SHARE * unit(np.stack([units[m].mean(0) for m in members])).mean(0)
    units = unit(units - common)
    prototypes = unit(np.stack([units[m].mean(0) for m in members]))
    left = _left_out(units, truth, np.array(groups), prototypes)
    shots = len(units) / len(classes)
    return PrototypeModel(classes, prototypes, common, _temperature(left), _floor(left, shots))


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


def _floor(left: _LeftOut, shots: float) -> float:
    """Where a left-out example of a class is as likely as one of a class never taught.

    The mean of more examples is nearer to each of their kind: the prior grows accordingly.
    """
    prior = PRIOR_FLOOR * float(np.sqrt(shots / (1 + (shots - 1) * PRIOR_AGREEMENT)))
    if left.cosines.shape[1] < 2 or not len(left.truth):
        return prior
    middle = (float(np.median(left.own)) + float(np.median(left.strangers))) / 2
    weight = len(left.truth) / (len(left.truth) + PRIOR_EXAMPLES)
    return weight * middle + (1 - weight) * prior
