"""Which exemplars give each direction: one alone, or the mean of a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from serving.experts.calibration import Scores
from serving.experts.types import Mask


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Directions as means of the exemplars' own ones.

    The first ``kept`` are the expert's: each exemplar's, and each class's mean. The others stand in
    for a class's mean where an exemplar is judged whose part had a share in it.
    """

    weights: Scores
    """(K, E), the share of each exemplar in each direction; rows sum to 1."""
    kept: int
    stands_in: tuple[str, ...]
    """The part that each direction does without, (K,); empty for those of the expert."""

    @classmethod
    def of(cls, classes: Sequence[str], parts: Sequence[str]) -> Self:
        """All directions of E exemplars with their classes and parts.

        >>> mixed = Mixtures.of(["dent", "dent", "dent", "spot"], ["a", "b", "b", "c"])
        >>> mixed.kept, mixed.stands_in[mixed.kept :]
        (5, ('a',))
        >>> mixed.weights[mixed.kept :].tolist()
        [[0.0, 0.5, 0.5, 0.0]]
        """
        named, shown = np.array(classes), np.array(parts)
        own: list[Mask] = [np.arange(len(named)) == i for i in range(len(named))]
        of_class = [named == name for name in sorted(set(classes))]
        own += [members for members in of_class if members.sum() > 1]
        kept, without = len(own), [""] * len(own)
        for members in of_class:
            for part in sorted(set(shown[members])):
                others = members & (shown != part)
                if others.sum() > 1:
                    own.append(others)
                    without.append(str(part))
        chosen = np.stack(own).astype(np.float64)
        return cls(chosen / chosen.sum(axis=1, keepdims=True), kept, tuple(without))

    def without_part(self, theirs: Mask, part: str) -> Mask:
        """(K,) directions that judge exemplars of a part: none of them had a share in these.

        Args:
            theirs: (E,) the exemplars of that part.
            part: its name.
        """
        stand_ins = np.array([name == part != "" for name in self.stands_in])
        usable: Mask = np.logical_or(self.without(theirs), stand_ins)
        return usable

    def without(self, theirs: Mask) -> Mask:
        """(K,) directions of the expert in which none of these exemplars (E,) has a share."""
        apart = (self.weights[:, theirs] == 0).all(axis=1)
        return np.array(apart & (np.arange(len(self.weights)) < self.kept))
