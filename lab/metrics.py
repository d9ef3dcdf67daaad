"""Detection and localisation figures, exact, in bounded memory, and honest intervals."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.experts.images import read_image

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
AUPRO_LIMIT = 0.3
"""False positive rate up to which AUPRO integrates (Bergmann et al. 2021)."""


def image_auroc(scores: npt.ArrayLike, anomalous: npt.ArrayLike) -> float:
    """Area under the ROC curve, ties counted half; NaN when a class is empty."""
    values, truth = np.asarray(scores, np.float64), np.asarray(anomalous, bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[index]
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def image_aupr(scores: npt.ArrayLike, anomalous: npt.ArrayLike) -> float:
    """Average precision: precision summed over steps of recall; NaN without positives."""
    values, truth = np.asarray(scores, np.float64), np.asarray(anomalous, bool)
    if not truth.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    hits = np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    precision = hits[last] / (last + 1)
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold; anomalous is positive."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing is found."""
        wrong = self.false_positive + self.false_negative
        total = 2 * self.true_positive + wrong
        return 2 * self.true_positive / total if total else 0.0

    @property
    def false_positive_rate(self) -> float:
        """Share of normal images called anomalous; NaN without normal images."""
        negatives = self.false_positive + self.true_negative
        return self.false_positive / negatives if negatives else float("nan")

    @property
    def sensitivity(self) -> float:
        """Share of anomalous images found; NaN without anomalous images."""
        positives = self.true_positive + self.false_negative
        return self.true_positive / positives if positives else float("nan")


def confusion(flagged: npt.ArrayLike, anomalous: npt.ArrayLike) -> Confusion:
    """Counts of verdicts against truth."""
    said, truth = np.asarray(flagged, bool), np.asarray(anomalous, bool)
    return Confusion(
        int((said & truth).sum()),
        int((said & ~truth).sum()),
        int((~said & ~truth).sum()),
        int((~said & truth).sum()),
    )


def binomial_interval(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share: exact, never too short."""
    if not total:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = _bisect(lambda p: _at_least(hits, total, p) - tail) if hits else 0.0
    high = _bisect(lambda p: tail - (1 - _at_least(hits + 1, total, p))) if hits < total else 1.0
    return low, high


def _at_least(hits: int, total: int, share: float) -> float:
    """Probability of at least ``hits`` of ``total`` at a success rate in (0, 1)."""
    k = np.arange(hits, total + 1)
    logs = [math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1) for i in k]
    return float(np.exp(logs + k * math.log(share) + (total - k) * math.log1p(-share)).sum())


def _bisect(rising: Callable[[float], float]) -> float:
    low, high = 1e-15, 1 - 1e-15
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def group_bootstrap(
    values: npt.ArrayLike,
    groups: Sequence[str],
    statistic: Callable[[Floats], float] = lambda v: float(np.mean(v)),
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval that resamples whole groups (parts), since their images depend."""
    data = np.asarray(values, np.float64)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    found = [
        statistic(
            data[np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])]
        )
        for _ in range(repeats)
    ]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class MapTruth:
    """An anomaly map and its mask, both (height, width); ``mask`` None is all normal."""

    values: npt.NDArray[np.float32]
    mask: Bools | None


@dataclass(frozen=True)
class PixelFigures:
    """Localisation over a whole test set; NaN where no pixel is anomalous."""

    auroc: float
    aupro: float


def pixel_figures(
    images: Callable[[], Iterable[MapTruth]], limit: float = AUPRO_LIMIT
) -> PixelFigures:
    """Pixel AUROC and AUPRO, exact, holding only the anomalous pixels' scores.

    The area under the per-region overlap curve is the mean over regions (8-connected) of the mean
    over their pixels of ``max(0, limit - FPR(pixel's score)) / limit``; ties are interpolated. The
    false positive rates come from a second pass that streams the normal pixels.

    Args:
        images: called twice; each call iterates over the same maps.
        limit: integrate up to this false positive rate, (0, 1].
    """
    scores, weights = _anomalous_pixels(images())
    if not len(scores):
        return PixelFigures(float("nan"), float("nan"))
    order = np.argsort(scores, kind="stable")
    scores, weights = scores[order], weights[order]
    above, equal, total = _count_normal(scores, images())
    if not total:
        return PixelFigures(float("nan"), float("nan"))
    low = above / total
    high = (above + equal) / total
    area = _ramp_area(low, high, limit)
    return PixelFigures(float(1 - np.mean((low + high) / 2)), float((area * weights).sum() / limit))


def _anomalous_pixels(images: Iterable[MapTruth]) -> tuple[Floats, Floats]:
    """Scores of anomalous pixels, and weights that average within, then over, regions."""
    import cv2

    scores: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)]
    weights: list[Floats] = [np.empty(0)]
    regions = 0
    for item in images:
        if item.mask is None or not item.mask.any():
            continue
        count, labels = cv2.connectedComponents(item.mask.astype(np.uint8), connectivity=8)
        inside = labels[item.mask]
        sizes = np.bincount(inside, minlength=count)
        scores.append(item.values[item.mask])
        weights.append(1.0 / sizes[inside])
        regions += int(count) - 1
    return np.concatenate(scores).astype(np.float64), np.concatenate(weights) / max(regions, 1)


def _count_normal(ordered: Floats, images: Iterable[MapTruth]) -> tuple[Floats, Floats, int]:
    """Normal pixels above and equal to each of the ascending scores."""
    n, total = len(ordered), 0
    below = np.zeros(n + 1, np.int64)
    upto = np.zeros(n + 1, np.int64)
    for item in images:
        normal = np.sort((item.values if item.mask is None else item.values[~item.mask]).ravel())
        normal = normal.astype(np.float64)
        total += len(normal)
        below[:n] += np.searchsorted(normal, ordered, side="left")
        upto[:n] += np.searchsorted(normal, ordered, side="right")
    return (total - upto[:n]).astype(np.float64), (upto - below)[:n].astype(np.float64), total


def _ramp_area(low: Floats, high: Floats, limit: float) -> Floats:
    """Area up to ``limit`` under a curve that rises from 0 at ``low`` to 1 at ``high``."""
    width = np.maximum(high - low, 1e-300)
    inside = np.clip(limit - low, 0, None)
    partial = inside**2 / (2 * width)
    return np.where(high <= limit, limit - (low + high) / 2, partial)


def read_mask(path: Path, height: int, width: int) -> Bools:
    """A ground-truth picture as bool (height, width), nearest resize.

    Anomalous above 127; where nothing is, any grey (VisA numbers its classes from 1).
    """
    import cv2

    grey = read_image(path)[:, :, 0]
    if grey.shape != (height, width):
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(grey > 127 if (grey > 127).any() else grey > 0)
