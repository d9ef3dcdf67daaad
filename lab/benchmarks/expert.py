"""Accuracy, calibration, misses and speed of a vision expert on a data set.

Labels are used to measure only: the threshold is the artifact's own.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from lab.datasets.folders import GOOD, Sample
from lab.datasets.masks import read_mask
from lab.metrics import (
    MapTruth,
    binomial_interval,
    group_bootstrap,
    image_aupr,
    image_auroc,
    pixel_figures,
)
from serving.experts.calibration import calibrate
from serving.experts.expert import Expert
from serving.experts.images import read_image
from serving.experts.types import Floats, enlarge

Report = Callable[[str, int, int], None]
_BATCH = 16
_RESPLITS = 40
_BOOTSTRAPS = 300
"""Draws of parts behind the interval of ``resplit_calibration``."""


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """An expert's answers for some samples; maps at map resolution, with the images' sizes."""

    samples: tuple[Sample, ...]
    scores: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    maps: list[Floats]
    sizes: list[tuple[int, int]]
    heads: dict[str, npt.NDArray[np.float64]]
    threshold: float


def score_set(
    expert: Expert, samples: Sequence[Sample], report: Report | None = None, maps: bool = True
) -> ScoredSet:
    """Score every sample; one batch of photographs in memory at a time."""
    found = []
    for start in range(0, len(samples), _BATCH):
        part = samples[start : start + _BATCH]
        found += expert.score([read_image(s.path, expert.bit_depth) for s in part], maps)
        if report is not None:
            report("score", min(start + _BATCH, len(samples)), len(samples))
    names = list(found[0].heads) if found else []
    return ScoredSet(
        tuple(samples),
        np.array([f.score for f in found]),
        np.array([f.anomalous for f in found], dtype=bool),
        [f.anomaly_map for f in found if f.anomaly_map is not None],
        [(f.image_height, f.image_width) for f in found],
        {n: np.array([f.heads[n] for f in found]) for n in names},
        found[0].threshold if found else float("nan"),
    )


def accuracy(found: ScoredSet) -> dict[str, Any]:
    """The figures of a test set: ranking, localisation, verdicts, and what would be missed."""
    truth = np.array([s.anomalous for s in found.samples])
    alarms = found.flagged[~truth]
    pixels = pixel_figures(lambda: _pixel_truth(found))
    return {
        "image_auroc": image_auroc(found.scores, truth),
        "image_aupr": image_aupr(found.scores, truth),
        "pixel_auroc": pixels.auroc,
        "aupro": pixels.aupro,
        "f1": float(f1_score(truth, found.flagged, zero_division=0.0)),
        "fpr": float(alarms.mean()) if len(alarms) else float("nan"),
        "fpr_interval": list(binomial_interval(int(alarms.sum()), len(alarms))),
        "fpr_interval_by_part": _by_part(found, ~truth),
        "threshold": found.threshold,
        "classes": {
            c: _class_figures(found, truth, c)
            for c in sorted({s.label for s in found.samples if s.anomalous})
        },
        "heads": {h: image_auroc(v, truth) for h, v in found.heads.items()},
    }


def resplit_calibration(
    scores: npt.ArrayLike,
    groups: Sequence[str],
    rate: float,
) -> dict[str, Any]:
    """False alarms on unseen parts when normals are split by part again and again.

    Each resplit draws half of the parts to calibrate on and counts false alarms on the others,
    once with photographs held out by part and once as if every photograph were its own part. The
    next resplit swaps the halves, which steadies the mean.

    Args:
        scores: of normals that the expert was not fitted on.
        groups: the part of each.
        rate: false-alarm rate asked for.

    Returns:
        Mean, lowest and highest rate of both ways, and a part-level bootstrap interval (each draw
        a subset of the parts, resplit four times) of the first.
    """
    values, names = np.asarray(scores, np.float64), np.asarray(groups)
    rng = np.random.default_rng(0)
    parts = np.unique(names)
    orders = [rng.permutation(parts) for _ in range(_RESPLITS // 2)]
    both = [half for order in orders for half in (order, order[::-1])]
    seen = [_resplit(values, names, rate, order) for order in both]
    spread = []
    for _ in range(_BOOTSTRAPS):
        drawn = np.unique(rng.choice(parts, len(parts)))
        kept = np.isin(names, drawn)
        trials = [
            _resplit(values[kept], names[kept], rate, rng.permutation(drawn))[0] for _ in range(4)
        ]
        spread.append(float(np.mean(trials)))
    return {
        "asked": rate,
        "parts": len(parts),
        "images": len(values),
        "repeats": _RESPLITS,
        **{
            key: {"mean": float(np.mean(v)), "low": float(np.min(v)), "high": float(np.max(v))}
            for key, v in zip(("by_part", "by_image"), zip(*seen, strict=True), strict=True)
        },
        "interval_by_part": np.quantile(spread, [0.025, 0.975]).tolist(),
    }


def _resplit(
    values: npt.NDArray[np.float64],
    names: npt.NDArray[Any],
    rate: float,
    order: npt.NDArray[Any],
) -> tuple[float, float]:
    """False-alarm rate on the second half of the parts, calibrated by part and by image."""
    own = np.isin(names, order[: len(order) // 2])
    rates = []
    for units in (names[own], np.arange(own.sum())):
        found = calibrate(values[own], [str(u) for u in units], rate)
        alarms, parts = values[~own] > found.threshold, names[~own]
        rates.append(float(np.mean([alarms[parts == n].mean() for n in np.unique(parts)])))
    return rates[0], rates[1]


def _class_figures(found: ScoredSet, truth: npt.NDArray[np.bool_], label: str) -> dict[str, Any]:
    own = np.array([s.label == label and s.anomalous for s in found.samples])
    hits, total = int(found.flagged[own].sum()), int(own.sum())
    either = own | ~truth
    return {
        "images": total,
        "image_auroc": image_auroc(found.scores[either], own[either]),
        "sensitivity": hits / total,
        "sensitivity_interval": list(binomial_interval(hits, total)),
        "missed": total - hits,
    }


def _by_part(found: ScoredSet, rows: npt.NDArray[np.bool_]) -> list[float] | None:
    parts = [s.group for s, kept in zip(found.samples, rows, strict=True) if kept]
    known = [p for p in parts if p is not None]
    if len(known) < len(parts) or not known:
        return None
    return list(group_bootstrap(found.flagged[rows].astype(float), known))


def _pixel_truth(found: ScoredSet) -> Iterator[MapTruth]:
    """Full-size maps one by one; anomalous samples without a mask are left out."""
    for sample, values, (height, width) in zip(found.samples, found.maps, found.sizes, strict=True):
        if sample.anomalous and sample.mask is None:
            continue
        mask = read_mask(sample.mask, height, width) if sample.mask is not None else None
        yield MapTruth(enlarge(values, height, width), mask)


def chart(found: ScoredSet, figures: dict[str, Any], title: str) -> str:
    """An SVG: scores by class against the threshold, and each class's sensitivity."""
    low = float(np.min(found.scores))
    high = max(float(np.quantile(found.scores, 0.98)), found.threshold * 1.2)
    by_class: dict[str, list[float]] = {GOOD: [], **{name: [] for name in figures["classes"]}}
    for value, sample in zip(found.scores, found.samples, strict=True):
        by_class[sample.label].append(float(value))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("expert_chart.svg.j2").render(
        title=title,
        scores=by_class,
        figures=figures,
        threshold=found.threshold,
        x=lambda value: 150 + 480 * float(np.clip((value - low) / max(high - low, 1e-9), 0, 1)),
        scatter=lambda number: 7 * math.sin(2.4 * number),
    )
