"""Whether a reduced precision may stand in for f32: judged on images that no head was fitted on.

A threshold is set on f32 scores. Rounding that moves every score a little moves normals over it,
and on images that the heads remember nothing of this shows: their scores are at the floor.
"""

from collections.abc import Mapping

import numpy as np

from serving.experts.calibration import Scores
from serving.experts.selection import auroc

MOST_AUROC_CHANGE = 0.005
"""The synthetic AUROC may change by so much, up or down."""
MOST_VERDICTS_CHANGED = 0.02
"""Largest share of the normals whose verdict at the threshold may be another."""
MOST_DEVIATION = 0.02
"""Most that half of the scores may deviate, as a share of the score."""
_BOOTSTRAPS = 300


def compare_precisions(
    exact: tuple[Scores, Scores],
    reduced: tuple[Scores, Scores],
    threshold: float,
    floor: float = 0.0,
) -> dict[str, object]:
    """What the reduced precision changes, as JSON values.

    Args:
        exact: f32 scores of held-out normals and of synthetic anomalies made from such.
        reduced: those of the same images in the reduced precision.
        threshold: calibrated on f32 scores.
        floor: smaller scores' deviations are relative to this, in the scores' unit.

    Returns:
        ``auroc_change`` with a 95 % interval (paired bootstrap over images), ``verdicts_changed``
        and the false alarm rates among normals, deviations relative to the score.
    """
    whole, rough = np.concatenate(exact), np.concatenate(reduced)
    relative = np.abs(whole - rough) / np.maximum(np.abs(whole), max(floor, 1e-12))
    alarms, rough_alarms = exact[0] > threshold, reduced[0] > threshold
    return {
        "measured": True,
        "images": len(whole),
        "normals": len(exact[0]),
        "auroc_change": auroc(*reduced) - auroc(*exact),
        "auroc_change_interval": _change_interval(exact, reduced),
        "verdicts_changed": float(np.mean(alarms != rough_alarms)),
        "false_alarms_f32": float(alarms.mean()),
        "false_alarms": float(rough_alarms.mean()),
        "score_deviation_median": float(np.median(relative)),
        "score_deviation_max": float(relative.max()),
    }


def agrees(report: object) -> bool:
    """Whether the precision that ``compare_precisions`` looked at may be chosen by itself."""
    return bool(
        isinstance(report, Mapping)
        and report.get("measured")
        and abs(report["auroc_change"]) <= MOST_AUROC_CHANGE
        and report["verdicts_changed"] <= MOST_VERDICTS_CHANGED
        and report["score_deviation_median"] <= MOST_DEVIATION
    )


def _change_interval(
    exact: tuple[Scores, Scores], reduced: tuple[Scores, Scores]
) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(_BOOTSTRAPS):
        low, high = (rng.integers(len(part), size=len(part)) for part in exact)
        changes.append(
            auroc(reduced[0][low], reduced[1][high]) - auroc(exact[0][low], exact[1][high])
        )
    bounds = np.quantile(changes, [0.025, 0.975])
    return float(bounds[0]), float(bounds[1])
