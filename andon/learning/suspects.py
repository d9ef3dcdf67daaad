"""Labels that look mistaken: exemplars that agree better with another class than with their own.

Each is compared with the prototypes of all classes, those of its own class made without its part,
as the local classifier compares an anomaly. A single exemplar of a class has nothing to agree with
and is not judged. Neither is one that nothing outlines: its description is of the part, not of a
defect.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.experts.types import Floats
from serving.naming.features import unit

OUTLIER = 1.0
"""How far below the others' margin, in deviations (from the median absolute one), a margin must be:
where classes overlap, many exemplars are near another class, and none of them stands out."""
COMMON_SHARE = 0.5
"""Share of the prototypes' mean that is taken away: being odd at all is common to all classes."""


@dataclass(frozen=True)
class SuspectLabel:
    """An exemplar that disagrees with its class."""

    index: int
    """Its place among the exemplars."""
    class_name: str
    looks_like: str
    nearest: int
    """The exemplar of that other class that it is most like."""
    own: float
    other: float
    """Cosines to its own class and to the other."""


def find_suspects(
    vectors: Floats, labels: Sequence[str], groups: Sequence[str]
) -> list[SuspectLabel]:
    """Exemplars that another class describes better than their own does, worst first.

    Args:
        vectors: (n, d), one description per exemplar.
        labels: their classes.
        groups: their parts; exemplars of one part say nothing about each other.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        return []
    units = unit(vectors)
    truth = np.array([classes.index(label) for label in labels])
    common = COMMON_SHARE * unit(np.stack([units[truth == i].mean(0) for i in range(len(classes))]))
    units = unit(units - common.mean(0))
    parts = np.array(groups)
    found: list[SuspectLabel] = []
    margins: list[float] = []
    for i, vector in enumerate(units):
        others = parts != parts[i]
        members = [np.flatnonzero((truth == c) & others) for c in range(len(classes))]
        if not len(members[truth[i]]):
            continue
        cosines = np.array(
            [float(unit(units[m].mean(0)) @ vector) if len(m) else -1.0 for m in members]
        )
        own = cosines[truth[i]]
        rest = np.where(np.arange(len(classes)) == truth[i], -np.inf, cosines)
        best = int(rest.argmax())
        margins.append(float(own - rest[best]))
        if rest[best] > own:
            nearest = int(members[best][(units[members[best]] @ vector).argmax()])
            found.append(
                SuspectLabel(
                    i, classes[truth[i]], classes[best], nearest, float(own), float(rest[best])
                )
            )
    if not found:
        return []
    usual = float(np.median(margins))
    spread = 1.4826 * float(np.median(np.abs(np.array(margins) - usual)))
    odd = [suspect for suspect in found if suspect.own - suspect.other < usual - OUTLIER * spread]
    return sorted(odd, key=lambda suspect: suspect.own - suspect.other)
