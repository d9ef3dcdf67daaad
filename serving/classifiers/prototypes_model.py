"""Naming by prototypes, as plain mathematics: no pictures, no clock, no event loop.

A class is the unit mean of its examples' vectors (Snell et al. 2017, "Prototypical Networks",
without the training). Confidence is a softmax over cosines whose temperature is fitted by leaving
each example out; a vector too far from every prototype is of no known class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TEMPERATURES: Final = tuple(float(t) for t in np.geomspace(0.02, 0.5, 25))
DEFAULT_TEMPERATURE: Final = 0.1
"""Used when no class has two examples to leave one out of."""
DEFAULT_FLOOR: Final = 0.35
"""Cosine to the nearest prototype below which a vector is unknown, before any evidence."""


@dataclass(frozen=True)
class Naming:
    """What the prototypes say of one region."""

    probabilities: Mapping[str, float]
    similarity: float
    """Cosine to the nearest prototype."""
    is_known: bool

    @property
    def best(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class PrototypeModel:
    """Prototypes with their calibration. ``prototypes`` float32 (classes, n), unit rows."""

    classes: tuple[str, ...]
    prototypes: Floats
    temperature: float
    floor: float

    def name(self, vector: Floats, among: Sequence[str] | None = None) -> Naming | None:
        """Name one vector among some of the classes; None when none of them has examples."""
        wanted = [i for i, c in enumerate(self.classes) if among is None or c in among]
        if not wanted:
            return None
        cosines = self.prototypes[wanted] @ _unit(vector)
        shares = _softmax(cosines / self.temperature)
        best = float(cosines.max())
        names = {self.classes[i]: float(p) for i, p in zip(wanted, shares, strict=True)}
        return Naming(names, best, best >= self.floor)


def fit(vectors: Floats, labels: Sequence[str], groups: Sequence[str]) -> PrototypeModel:
    """Prototypes of labelled vectors (n, d); ``groups`` names each one's part.

    Leaving out leaves out a whole part, so that two shots of one part never vouch for each other.
    """
    classes = tuple(dict.fromkeys(labels))
    units = np.stack([_unit(v) for v in vectors])
    y = np.array([classes.index(label) for label in labels])
    prototypes = np.stack([_unit(units[y == i].mean(0)) for i in range(len(classes))])
    cosines, truth = _left_out(units, y, np.array(groups), prototypes)
    if not len(cosines):
        return PrototypeModel(classes, prototypes, DEFAULT_TEMPERATURE, DEFAULT_FLOOR)
    own = cosines[np.arange(len(truth)), truth]
    weight = len(own) / (len(own) + 5.0)
    floor = weight * float(np.quantile(own, 0.05)) + (1 - weight) * DEFAULT_FLOOR
    return PrototypeModel(classes, prototypes, _temperature(cosines, truth), floor)


def _left_out(
    units: Floats, y: npt.NDArray[np.int64], groups: npt.NDArray[np.str_], prototypes: Floats
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Cosines of each example to prototypes made without its part; classes of one part are out."""
    rows, truth = [], []
    for i, vector in enumerate(units):
        others = (y == y[i]) & (groups != groups[i])
        if not others.any():
            continue
        without = prototypes.copy()
        without[y[i]] = _unit(units[others].mean(0))
        rows.append(without @ vector)
        truth.append(y[i])
    if not rows:
        return np.zeros((0, len(prototypes)), np.float32), np.zeros(0, np.int64)
    return np.stack(rows), np.array(truth)


def _temperature(cosines: Floats, truth: npt.NDArray[np.int64]) -> float:
    if cosines.shape[1] < 2:
        return DEFAULT_TEMPERATURE

    def loss(temperature: float) -> float:
        logits = cosines / temperature
        log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        return float((log_sum - logits[np.arange(len(truth)), truth]).mean())

    return min(TEMPERATURES, key=loss)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
