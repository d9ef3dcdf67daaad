"""What a threshold costs: the share of synthetic anomalies found, and the normals that set it.

A threshold from normals alone says nothing of what passes below it. Synthetic anomalies on held-out
normals do, before the line runs; so do the oddest normals, among which a plant often finds a part
that should not be there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from serving.experts.calibration import Calibration, Scores, calibrate
from serving.experts.synthetic import LOCAL_KINDS
from serving.experts.tradeoff import RATES, ShareInterval, redraw_false_alarms
from serving.experts.types import Mask

LOW_SENSITIVITY = 0.5
"""Below this share of local synthetic anomalies found, training warns."""
MOST_ADVISED = 0.1
"""Highest rate that the warning names."""
MOST_ODDEST = 12
"""Groups listed."""


class RateRow(TypedDict):
    """What a false-alarm rate would cost and find."""

    asked_rate: float
    rate: float
    threshold: float
    false_alarms: ShareInterval
    local: float


class OddestRow(TypedDict):
    """A group by its oddest photograph, which is row ``row`` of the normals."""

    group: str
    file: str
    score: float
    row: int


class Sensitivity(TypedDict):
    """JSON values of the manifest, see ``sensitivity_report``."""

    by_kind: dict[str, float]
    local: float
    at_rates: list[RateRow]
    oddest: list[OddestRow]
    set_by: list[str]
    without_them: RateRow | None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Held-out scores of normals, with their groups, and of synthetic anomalies."""

    normal: Scores
    groups: Sequence[str]
    files: Sequence[str]
    """Names of the normals' photographs."""
    odd: Scores
    kinds: Sequence[str]


def sensitivity_report(evidence: Evidence, calibration: Calibration) -> Sensitivity:
    """JSON values for the manifest: share found by kind, the trade-off, and who sets the threshold.

    ``local`` is the mean over the local kinds; ``at_rates`` the same at other rates;
    ``set_by`` the groups at or above the threshold, oddest first, each with its oddest photograph;
    ``without_them`` what would hold if those groups turned out not to be normal.
    """
    threshold = calibration.threshold
    by_group = _oddest(evidence)
    setting = [g for g in by_group if g["score"] >= threshold][:MOST_ODDEST]
    names = {g["group"] for g in setting}
    kept = np.array([g not in names for g in evidence.groups])
    return {
        "by_kind": {k: _found(evidence, threshold, (k,)) for k in sorted(set(evidence.kinds))},
        "local": _found(evidence, threshold, LOCAL_KINDS),
        "at_rates": [_at_rate(evidence, rate) for rate in RATES],
        "oddest": by_group[:MOST_ODDEST],
        "set_by": [g["group"] for g in setting],
        "without_them": _at_rate(evidence, calibration.asked_rate, kept) if kept.any() else None,
    }


def sensitivity_warning(report: Sensitivity, calibration: Calibration) -> list[str]:
    """A warning where most faint local anomalies would pass, and what can be done about it."""
    if report["local"] >= LOW_SENSITIVITY:
        return []
    text = (
        f"at this threshold only {report['local']:.0%} of faint synthetic local anomalies are "
        "found, the others would pass as normal"
    )
    better = [r for r in report["at_rates"] if calibration.rate < r["asked_rate"] <= MOST_ADVISED]
    if better:
        text += f"; --rate {better[0]['asked_rate']:g} would find {better[0]['local']:.0%}"
        if len(better) > 1:
            text += f", --rate {better[-1]['asked_rate']:g} {better[-1]['local']:.0%}"
    without = report["without_them"]
    if report["set_by"] and without is not None:
        text += (
            f"; the threshold is set by {', '.join(report['set_by'][:5])}: look at them "
            f"(option review draws them), and if they are no good parts take them out "
            f"({without['local']:.0%} found without them)"
        )
    return [text]


def _at_rate(evidence: Evidence, rate: float, rows: Mask | None = None) -> RateRow:
    kept = np.ones(len(evidence.normal), bool) if rows is None else rows
    groups = [g for g, own in zip(evidence.groups, kept, strict=True) if own]
    found = calibrate(evidence.normal[kept], groups, rate)
    return {
        "asked_rate": rate,
        "rate": found.rate,
        "threshold": found.threshold,
        "false_alarms": redraw_false_alarms(evidence.normal[kept], groups, rate),
        "local": _found(evidence, found.threshold, LOCAL_KINDS),
    }


def _found(evidence: Evidence, threshold: float, kinds: Iterable[str]) -> float:
    """Mean over kinds of the share above the threshold; 0 where no such anomaly was made."""
    labels = np.asarray(evidence.kinds)
    shares = [float((evidence.odd[labels == k] > threshold).mean()) for k in kinds if k in labels]
    return float(np.mean(shares)) if shares else 0.0


def _oddest(evidence: Evidence) -> list[OddestRow]:
    """Each group by its oddest photograph, oddest first."""
    best: dict[str, int] = {}
    for i, group in enumerate(evidence.groups):
        if group not in best or evidence.normal[i] > evidence.normal[best[group]]:
            best[group] = i
    order = sorted(best.items(), key=lambda item: -evidence.normal[item[1]])
    return [
        {"group": g, "file": evidence.files[i], "score": float(evidence.normal[i]), "row": i}
        for g, i in order
    ]
