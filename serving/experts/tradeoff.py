"""What a false-alarm rate costs and finds: the curve that a process engineer chooses from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from serving.experts.calibration import Scores, calibrate
from serving.experts.types import Mask

RATES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
"""False-alarm rates that the trade-off is shown at."""
_REDRAWS = 40
_NORMAL_QUANTILE = 1.959964
"""Of a 95 % interval."""


class ShareInterval(TypedDict):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


class FoundRow(TypedDict):
    """What a false-alarm rate finds of the classes that exemplars were given of."""

    asked_rate: float
    rate: float
    threshold: float
    false_alarms: ShareInterval
    classes: dict[str, ShareInterval]
    """By class, on parts held out."""
    before: dict[str, ShareInterval]
    """The same without teaching."""


@dataclass(frozen=True)
class StopPrices:
    """What mistakes cost, in one currency."""

    escape: float
    """One defective part that passes."""
    false_stop: float
    """One good part that does not pass, beside the look."""
    look: float
    """A person's look at one part that does not pass."""
    defect_share: float
    """Share of parts that are defective, 0 to 1."""

    def of(self, false_alarms: float, found: float) -> float:
        """Money for each part produced.

        >>> StopPrices(escape=100, false_stop=4, look=1, defect_share=0.01).of(0.05, 0.8)
        0.4555
        """
        defective, good = self.defect_share, 1 - self.defect_share
        escapes, caught = defective * (1 - found), defective * found
        total = escapes * self.escape + good * false_alarms * self.false_stop
        return round(total + (caught + good * false_alarms) * self.look, 9)


def redraw_false_alarms(scores: Scores, groups: Sequence[str], rate: float) -> ShareInterval:
    """False alarms when half of the parts, drawn again and again, calibrate for the others.

    The interval is that of single redraws: as far as one plant's threshold may be off.
    """
    names = np.asarray(groups)
    parts = np.unique(names)
    if len(parts) < 4:
        return {"share": rate, "low": 0.0, "high": 1.0}
    rng, seen = np.random.default_rng(0), []
    for _ in range(_REDRAWS):
        own = np.isin(names, rng.permutation(parts)[: len(parts) // 2])
        cut = calibrate(scores[own], [str(n) for n in names[own]], rate).threshold
        seen.append(share_by_part(scores[~own] > cut, names[~own]))
    low, high = np.quantile(seen, [0.025, 0.975])
    return {"share": float(np.mean(seen)), "low": float(low), "high": float(high)}


def share_by_part(flags: Mask, parts: npt.NDArray[np.str_]) -> float:
    """Share of flagged photographs, each part weighing one."""
    _, index, sizes = np.unique(parts, return_inverse=True, return_counts=True)
    return float((flags / sizes[index]).sum() / len(sizes))


def interval(share: float, count: int) -> ShareInterval:
    """A share of ``count`` independent parts with Wilson's 95 % interval (1927).

    >>> interval(0.5, 4)["low"].__round__(3), interval(1.0, 4)["low"].__round__(3)
    (0.15, 0.51)
    """
    if not count:
        return {"share": 0.0, "low": 0.0, "high": 1.0}
    weight = _NORMAL_QUANTILE**2 / count
    middle = (share + weight / 2) / (1 + weight)
    spread = share * (1 - share) / count + weight / (4 * count)
    half = _NORMAL_QUANTILE * spread**0.5 / (1 + weight)
    return {"share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def recommend(rows: Sequence[FoundRow], prices: StopPrices) -> tuple[float, dict[float, float]]:
    """The asked rate that costs least for each part, and what every rate costs.

    All classes weigh alike: how often each happens is not known.
    """
    costs = {row["asked_rate"]: prices.of(row["rate"], _mean(row["classes"])) for row in rows}
    return min(costs, key=lambda rate: costs[rate]), costs


def _mean(classes: Mapping[str, ShareInterval]) -> float:
    return float(np.mean([found["share"] for found in classes.values()]))
