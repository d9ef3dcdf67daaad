"""Detection and localisation figures, exact, in bounded memory, and honest intervals.

Ranking and binomial intervals are scikit-learn's and SciPy's. What stands here has no equivalent
there: AUPRO, pixel figures that never hold all pixels of a data set, and a bootstrap over parts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
AUPRO_LIMIT = 0.3
"""False positive rate up to which AUPRO integrates (Bergmann et al. 2021)."""


def image_auroc(scores: npt.ArrayLike, anomalous: npt.ArrayLike) -> float:
    """Area under the ROC curve, ties counted half; NaN when a class is empty.

    >>> image_auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
    0.875
    """
    truth = np.asarray(anomalous, bool)
    return float(roc_auc_score(truth, scores)) if truth.any() and not truth.all() else float("nan")


def image_aupr(scores: npt.ArrayLike, anomalous: npt.ArrayLike) -> float:
    """Average precision: precision summed over steps of recall; NaN without positives."""
    truth = np.asarray(anomalous, bool)
    return float(average_precision_score(truth, scores)) if truth.any() else float("nan")


def binomial_interval(hits: int, total: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a share, 95 %: exact, never too short.

    >>> low, high = binomial_interval(3, 10)
    >>> round(low, 4), round(high, 4)
    (0.0667, 0.6525)
    """
    if not total:
        return 0.0, 1.0
    found = binomtest(hits, total).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def group_bootstrap(values: npt.ArrayLike, groups: Sequence[str]) -> tuple[float, float]:
    """Percentile interval of a mean, 95 %: whole groups (parts) are resampled, since the images of
    one depend on each other."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(index, np.asarray(values, np.float64)), np.bincount(index)
    drawn = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
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
