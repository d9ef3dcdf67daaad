"""What is watched at a station, in which direction it may drift, and how its values are binned."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from streams.codes import Severity
from streams.events import Decision

Direction = Literal["falls", "rises"]
_P_VALUES = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1)
"""Bins of p-values are finest where parts are odd; above 0.1 they are 0.05 wide."""
_PRIOR_PARTS = 50.0
"""As many parts stand for the artifact's promise that p-values are uniform."""
PICTURE = ("brightness", "contrast", "sharpness")
"""The statistics of a picture, as an inspection carries them."""
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Quantity:
    """One watched number."""

    name: str
    says: str
    """What its drift means, as the alarm's text says it."""
    directions: tuple[Direction, ...]
    edges: tuple[float, ...] = ()
    """Upper ends of its bins; without them bins are ``width`` wide."""
    width: float = 0.0
    logarithmic: bool = False
    """Bins are of the logarithm: a share of the value wide."""

    def bin_of(self, value: float) -> int:
        """The number of the value's bin; a higher bin holds higher values."""
        if self.edges:
            return bisect_left(self.edges, value)
        scaled = math.log(max(value, 1e-6)) if self.logarithmic else value
        return math.floor(scaled / self.width)

    @property
    def prior(self) -> dict[int, float]:
        """Parts by bin that stand for what the artifact promises, before the first frame."""
        if self.name != "normality":
            return {}
        ends = (0.0, *self.edges, 1.0)
        widths = (high - low for low, high in pairwise(ends))
        return {number: _PRIOR_PARTS * width for number, width in enumerate(widths)}


_SHARES = (0.5,)
_BOTH: tuple[Direction, ...] = ("falls", "rises")
QUANTITIES: Sequence[Quantity] = (
    Quantity(
        "normality",
        "parts look odder to the expert than they did",
        ("falls",),
        (*_P_VALUES, *(round(0.15 + 0.05 * i, 2) for i in range(17))),
    ),
    Quantity("sent", "the expert sends a larger share of the parts on", ("rises",), _SHARES),
    Quantity("unknown", "the classifier knows fewer of the parts sent to it", ("rises",), _SHARES),
    Quantity("confidence", "the classifier is less sure of its answers", ("falls",), width=0.05),
    Quantity("brightness", "the pictures' brightness", _BOTH, width=1 / 128),
    Quantity("contrast", "the pictures' contrast", _BOTH, width=0.03, logarithmic=True),
    Quantity("sharpness", "the pictures' sharpness", _BOTH, width=0.01, logarithmic=True),
)


def watched_values(decision: Decision) -> dict[str, float]:
    """The values of one part by the name of their quantity; what it does not tell is left out.

    A part that was decided to be a defect tells nothing of how normal parts look: its p-value is
    left out. It counts in the share that is sent.
    """
    inspection, classification = decision.inspection, decision.classification
    if inspection is None:
        return {}
    found = {"sent": float(inspection.anomalous)}
    if decision.severity is not Severity.DEFECT:
        found["normality"] = inspection.p_value
    for name in PICTURE:
        value = getattr(inspection, name)
        if value is not None:
            found[name] = value
    if classification is not None:
        found["unknown"] = float(classification.class_name == _UNKNOWN)
        if not found["unknown"]:
            found["confidence"] = classification.confidence
    return found
