"""What ``andon benchmark absorb`` prints: a row for each draw, and each change over its draws."""

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

PRINT = "print"
"""The change of design."""


class AbsorbJudgement(TypedDict):
    """An expert on good and defective parts."""

    image_auroc: float
    false_alarms: float
    """Each part weighs one."""
    found: float


class LightRow(TypedDict):
    """One change of light, absorbed once."""

    change: str
    draw: int
    nothing_done: AbsorbJudgement
    absorbed: AbsorbJudgement
    auroc_lost: float
    """Against the expert before the change, on the same parts without it."""
    how: str
    seconds: float
    cpu_seconds: float


class DesignRow(TypedDict):
    """A print on every part, absorbed once."""

    draw: int
    how: str
    nothing_done: AbsorbJudgement
    absorbed: AbsorbJudgement
    auroc_lost: float
    """Against the expert before the change, on the same parts without a print."""
    look_share: float
    print_covered: float
    """Share of the print that the look takes in."""
    on_print_found: float
    """Share found of synthetic anomalies on the print, by the expert that absorbed it."""
    same_without_print: float
    """Share found of the same anomalies on parts without a print, by the expert before."""
    seconds: float
    cpu_seconds: float


class DrawFigures(TypedDict):
    """One figure over the draws of the good parts."""

    mean: float
    deviation: float
    lowest: float
    highest: float


class ChangeSummary(TypedDict):
    """One change over all draws."""

    change: str
    draws: int
    how: dict[str, int]
    """How often it was absorbed how."""
    figures: dict[str, DrawFigures]


class AbsorbFigures(TypedDict):
    """What the benchmark prints."""

    dataset: str
    asked_rate: float
    goods: int
    plain: AbsorbJudgement
    light: list[LightRow]
    design: list[DesignRow]
    summary: list[ChangeSummary]
    defects_given_as_good: str
    """What absorbing ten defective parts of one class answers, other defects being exemplars."""


def summaries(light: Sequence[LightRow], design: Sequence[DesignRow]) -> list[ChangeSummary]:
    """Each change over its draws."""
    found = []
    for name in dict.fromkeys(row["change"] for row in light):
        own = [row for row in light if row["change"] == name]
        found.append(_summary(name, own))
    if design:
        found.append(_summary(PRINT, design))
    return found


def _summary(name: str, rows: Sequence[LightRow] | Sequence[DesignRow]) -> ChangeSummary:
    figures = {
        "nothing done: AUROC": [row["nothing_done"]["image_auroc"] for row in rows],
        "nothing done: false alarms": [row["nothing_done"]["false_alarms"] for row in rows],
        "AUROC": [row["absorbed"]["image_auroc"] for row in rows],
        "AUROC lost": [row["auroc_lost"] for row in rows],
        "false alarms": [row["absorbed"]["false_alarms"] for row in rows],
        "found": [row["absorbed"]["found"] for row in rows],
        "seconds": [row["seconds"] for row in rows],
        "CPU seconds": [row["cpu_seconds"] for row in rows],
    }
    return ChangeSummary(
        change=name,
        draws=len(rows),
        how=dict(Counter(row["how"] for row in rows)),
        figures={key: _over_draws(values) for key, values in figures.items()},
    )


def _over_draws(values: Sequence[float]) -> DrawFigures:
    return DrawFigures(
        mean=float(np.mean(values)),
        deviation=float(np.std(values)),
        lowest=float(min(values)),
        highest=float(max(values)),
    )
