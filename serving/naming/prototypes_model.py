"""Naming by prototypes, as plain mathematics: no pictures, no clock, no event loop.

A class is the unit mean of its examples' vectors (Snell et al. 2017, "Prototypical Networks",
without the training), after half of what all classes have in common is taken away: being odd at
all must not make a stranger look known. A class may have two looks, which the mean of both is not
like: the cosine to its nearest example counts beside that to its prototype. Which class: a softmax
over these similarities. Whether any: a logistic function of the highest. Both are calibrated on the
examples themselves, each judged by others than its part's; few examples move the calibration little
from its prior (docs/prototypes.md says where the priors come from).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serving.naming.features import Floats, unit

COMMON_SHARE: Final = 0.5
"""Share of the prototypes' mean that is taken away from every vector."""
NEAREST_SHARE: Final = 0.3
"""Weight of the nearest example of a class beside its prototype."""
TEMPERATURES: Final = tuple(float(t) for t in np.geomspace(0.02, 0.5, 25))
PRIOR_TEMPERATURE: Final = 0.1
"""The temperature before there is any evidence."""
PRIOR_FLOOR: Final = 0.16
"""Cosine to a prototype of one example that speaks neither for known nor for unknown, a priori."""
PRIOR_AGREEMENT: Final = 0.3
"""Cosine between two examples of a class, before evidence: by it more examples raise the floor."""
SLOPE: Final = 10.0
"""Steepness of the logistic function, per unit of cosine."""
FULL_SHOTS: Final = 5
"""Examples of a class from which on the confidence is evened out in full."""
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
    """Similarity to the nearest class, a cosine."""
    evening: float = 1.0
    """Power of the confidence: examples judge each other by one example fewer than a query is
    judged by, so that what they say of themselves is too modest."""

    @property
    def best(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def confidence(self) -> float:
        """Probability of the best class."""
        return float((self.known * self.probabilities[self.best]) ** self.evening)


@dataclass(frozen=True)
class PrototypeModel:
    """Examples and prototypes with their calibration."""

    classes: tuple[str, ...]
    units: Floats
    """(examples, n), unit rows less what is common."""
    truth: npt.NDArray[np.int64]
    """(examples,): the class of each."""
    common: Floats
    """(n,): taken away from unit vectors before they are compared."""
    temperature: float
    floor: float

    def name(self, vector: Floats, among: Collection[str] | None = None) -> Naming | None:
        """Name one vector among some of the classes; None when none of them has examples."""
        wanted = [i for i, c in enumerate(self.classes) if among is None or c in among]
        if not wanted:
            return None
        similar = _similarities(unit(unit(vector) - self.common), self.units, self.truth)[wanted]
        powers = np.exp((similar - similar.max()) / self.temperature)
        shares = powers / powers.sum()
        best = float(similar.max())
        odds = KNOWN_SHARE / (1 - KNOWN_SHARE) * float(np.exp(SLOPE * (best - self.floor)))
        known = odds / (1 + odds)
        names = {self.classes[i]: float(p) for i, p in zip(wanted, shares, strict=True)}
        shots = min(len(self.units) / len(self.classes), FULL_SHOTS)
        return Naming(names, known, best, 1 / (1 + shots / FULL_SHOTS))


def fit(vectors: Floats, labels: Sequence[str], groups: Sequence[str]) -> PrototypeModel:
    """A model of labelled vectors (n, d); ``groups`` names each one's part."""
    classes = tuple(dict.fromkeys(labels))
    units = unit(vectors)
    truth = np.array([classes.index(label) for label in labels])
    means = np.stack([units[truth == i].mean(0) for i in range(len(classes))])
    common = COMMON_SHARE * unit(means).mean(0)
    units = unit(units - common)
    left = _left_out(units, truth, np.array(groups), len(classes))
    shots = len(units) / len(classes)
    return PrototypeModel(classes, units, truth, common, _temperature(left), _floor(left, shots))


def _similarities(vector: Floats, units: Floats, truth: npt.NDArray[np.int64]) -> Floats:
    """Similarity (classes,) of a unit vector: to each class's prototype and nearest example."""
    cosines = units @ vector
    found = []
    for own in (truth == i for i in range(int(truth.max()) + 1)):
        prototype = float(unit(units[own].mean(0)) @ vector)
        nearest = float(cosines[own].max())
        found.append((1 - NEAREST_SHARE) * prototype + NEAREST_SHARE * nearest)
    return np.array(found, np.float32)


@dataclass(frozen=True)
class _LeftOut:
    """Similarities (n, classes) of examples to classes without their part, and own class."""

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
    classes: int,
) -> _LeftOut:
    rows, labels = [], []
    for i, vector in enumerate(units):
        kept = (truth != truth[i]) | (groups != groups[i])
        if (kept & (truth == truth[i])).any():
            rows.append(_similarities(vector, units[kept], truth[kept]))
            labels.append(truth[i])
    shape = (0, classes)
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
