"""Expert and classifier together: how odd a part is among normal parts that neither has seen.

The expert may send more parts than the line may stop, since the classifier behind it looks closer.
What the expert sent of its own held-out normals are the hard normals: they look odd and are not.
Their vectors' mean and that of the examples give one direction, along which a region looks like a
defect or like a false alarm (a prototype each, Snell et al. 2017). A part's score is the sum of two
surprises (Fisher 1932), the expert's and the classifier's, both against held-out normals. The score
is calibrated on the same normals, each judged by a direction that its part did not give: what
comes out is one p-value for the pair, by part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from serving.experts.calibration import Reference, Scores, exceeded_by
from serving.naming.features import Floats, unit

FOLDS: Final = 8
"""Folds, by part, in which the hard normals judge each other."""
FEWEST_PARTS: Final = 8
"""With hard normals of fewer parts there is nothing to calibrate on."""
COMMON_SHARE: Final = 0.5
"""Share of the examples' mean that is taken away from every vector, as in naming."""
_HIGHEST_RATE: Final = 0.1
_RATES: Final = 16
"""Rates up to the highest one at which each part is left out, see ``_own_weight``."""


@dataclass(frozen=True)
class Gate:
    """What the expert said of the normals that it was trained on, before it had seen their part."""

    expert_version: str
    """The artifact's digest; the answers of another one are not comparable."""
    parts: int
    """Parts behind the normals."""
    scores: tuple[float, ...]
    """Every photograph's score."""


@dataclass(frozen=True)
class FalseAlarms:
    """Tells false alarms of one expert from defects."""

    expert_version: str
    common: Floats
    """(n,): taken away from unit vectors before they are compared."""
    direction: Floats
    """(n,): from what a false alarm looks like to what a defect looks like."""
    gate: Reference
    """Scores of all held-out normals."""
    looks: Reference
    """Positions of the hard normals along the direction."""
    scores: Scores
    """The hard normals' scores by both, ascending."""
    weights: Scores
    """How many parts each stands for."""
    parts: int
    """Parts in all, those included that the expert did not send."""
    own_weight: float = 1.0
    """What a new part weighs above its own photographs, 0 to 1: 1 where these are alike."""

    @classmethod
    def learn(
        cls,
        gate: Gate,
        examples: Floats,
        normals: Floats,
        scores: Sequence[float],
        weights: Sequence[float],
        groups: Sequence[str],
    ) -> Self | None:
        """Learn from vectors of n examples and of m hard normals; None with too few of either.

        Args:
            gate: the expert's held-out scores.
            examples: (n, d).
            normals: (m, d).
            scores: the expert's score of each hard normal, held out.
            weights: its share of its part among all the photographs of the part; 0 where a person
                reviewed it as a false alarm: it says what one looks like and calibrates nothing,
                for it was picked for being odd.
            groups: its part.
        """
        stands = np.asarray(weights, np.float64) > 0
        if not len(examples) or len(set(np.asarray(groups)[stands].tolist())) < FEWEST_PARTS:
            return None
        common = COMMON_SHARE * unit(unit(examples).mean(0))
        odd, plain = (unit(unit(v) - common) for v in (examples, normals))
        target = odd.mean(0)
        looks = _judge_each_other(plain, target, groups)[stands]
        known = Reference.of(np.sort(looks))
        seen = Reference.of(np.sort(np.asarray(gate.scores, np.float64)))
        both = seen.surprise(np.asarray(scores, np.float64)[stands]) + known.surprise(looks)
        order = np.argsort(both, kind="stable")
        ordered, weighed = both[order], np.asarray(weights, np.float64)[stands][order]
        return cls(
            gate.expert_version,
            common,
            target - plain.mean(0),
            seen,
            known,
            ordered,
            weighed,
            gate.parts,
            _own_weight(ordered, weighed, np.asarray(groups)[stands][order], gate.parts),
        )

    def p_value(self, score: float, vector: Floats) -> float:
        """Share of normal parts at least as odd, the new part counted in: (0, 1].

        The new part is counted by what a part weighs above its own photographs, so that a share of
        normal parts as large as the stop rate is stopped, and no smaller one.

        Beyond the oddest normal the share shrinks by the surprise, which is a logarithm of shares:
        few parts cannot vouch for a small share, and a part must not pass for that.

        Args:
            score: the expert's.
            vector: (n,), what the classifier compares.
        """
        look = unit(unit(vector) - self.common) @ self.direction
        surprise = self.gate.surprise(np.array([score])) + self.looks.surprise(np.array([look]))
        first = int(np.searchsorted(self.scores, float(surprise[0]), side="left"))
        above, own = float(self.weights[first:].sum()), self.own_weight
        share = min(1.0, max((above + own) / (self.parts + own), 1 / (self.parts + 1)))
        return share * float(np.exp(min(self.scores[-1] - surprise[0], 0.0)))


def _own_weight(
    ordered: Scores, weights: Scores, groups: npt.NDArray[np.str_], parts: int
) -> float:
    """How much of its weight a new part brings above its photographs, 0 to 1.

    As ``serving.experts.calibration.own_weight``, of which the oddest normals alone are known: each
    part is left out, and what its photographs weigh above thresholds that a share of the others
    exceeds is compared with that share.

    Args:
        ordered: ascending scores of the hard normals.
        weights: how many parts each stands for.
        groups: the part of each.
        parts: in all.
    """
    highest = min(_HIGHEST_RATE, float(weights.sum()) / parts / 2)
    rates = np.linspace(0, highest, _RATES + 1)[1:]
    seen = np.zeros(_RATES)
    for part in np.unique(groups):
        others = groups != part
        cuts = exceeded_by(ordered[others], weights[others], rates * (parts - 1))
        seen += ((ordered[~others] > cuts[:, None]) * weights[~others]).sum(axis=1)
    return float(np.clip((seen - rates * parts).mean(), 0, 1))


def _judge_each_other(plain: Floats, target: Floats, groups: Sequence[str]) -> Scores:
    """(m,) positions, each along a direction that its part did not give."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    folds: npt.NDArray[np.int64] = np.arange(len(names))[index] % FOLDS
    found = np.empty(len(plain), np.float64)
    for fold in range(FOLDS):
        own = folds == fold
        if own.any():
            found[own] = plain[own] @ (target - plain[~own].mean(0))
    return found
