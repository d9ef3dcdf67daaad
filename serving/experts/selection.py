"""Which heads a product gets, how they are fused and where a region is cut.

Chosen on held-out normals and synthetic anomalies made from them; no defect is ever seen. Held-out
normals under a mild change of exposure count as normal too, unless the options say otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from serving.experts.calibration import Scores
from serving.experts.fusion import FUSIONS, common_grid, fuse_surprises
from serving.experts.synthetic import LOCAL_KINDS
from serving.experts.types import Floats, Image, Mask

LEAST_GAIN = 0.004
"""A head is added when it raises the mean AUROC over synthetic kinds by this much."""
LEAST_MAP_GAIN = 0.004
"""A head joins the map when it raises the synthetic AUPRO by this much."""
_LIMIT = 0.3
_SIDE = 32
"""Grid on which maps are compared, cells."""
_MOST_NORMAL = 120
"""Held-out normals whose pixels make the false positive rate."""


@dataclass(frozen=True)
class HeadChoice:
    """The heads in the order they were added, how they are fused, and why."""

    heads: tuple[str, ...]
    fusion: str
    auroc: float
    """Mean over synthetic kinds, held-out normals against synthetic anomalies."""
    reasons: dict[str, str]
    """For every candidate, in words."""
    by_kind: dict[str, float]


@dataclass(frozen=True)
class MapChoice:
    """The heads whose maps are averaged, the cut of the region, and what they reach."""

    heads: tuple[str, ...]
    cut: float
    aupro: float
    iou: float
    by_head: dict[str, float]


def choose_heads(
    normal: Mapping[str, Scores], odd: Mapping[str, Scores], kinds: Sequence[str]
) -> HeadChoice:
    """Greedy forward selection, once per fusion; the better one is kept.

    Args:
        normal: surprise (N,) by head of held-out normals.
        odd: surprise (M,) by head of synthetic anomalies.
        kinds: kind of each synthetic anomaly, M.
    """
    labels = np.asarray(kinds)

    def quality(heads: Sequence[str], fusion: str) -> float:
        return float(np.mean(list(_by_kind(normal, odd, labels, heads, fusion).values())))

    found = {f: _forward(list(normal), partial(quality, fusion=f), LEAST_GAIN) for f in FUSIONS}
    fusion = max(FUSIONS, key=lambda f: found[f][-1][1])
    steps = found[fusion]
    heads = tuple(name for name, _ in steps)
    reasons = {}
    before = 0.5
    for name, value in steps:
        reasons[name] = f"added: mean synthetic AUROC {before:.3f} -> {value:.3f}"
        before = value
    for name in normal:
        if name not in reasons:
            gain = quality([*heads, name], fusion) - before
            reasons[name] = f"left out: would change the mean synthetic AUROC by {gain:+.3f}"
    detail = _by_kind(normal, odd, labels, heads, fusion)
    return HeadChoice(heads, fusion, before, reasons, detail)


def choose_map(
    normal: Mapping[str, Floats], odd: Mapping[str, Floats], masks: Mask, kinds: Sequence[str]
) -> MapChoice:
    """The heads whose mean map outlines synthetic local anomalies best, and the region's cut.

    Args:
        normal: standardised maps (N, h, w) by head of held-out normals.
        odd: the same of synthetic anomalies (M, h, w).
        masks: what was changed, bool (M, H, W).
        kinds: kind of each synthetic anomaly, M.
    """
    local = np.flatnonzero(np.isin(np.asarray(kinds), list(LOCAL_KINDS)))
    truth = common_grid(masks[local].astype(np.float32), _SIDE) >= 0.5
    kept = np.flatnonzero(truth.any(axis=(1, 2)))
    truth, local = truth[kept], local[kept]
    maps = {k: v for k, v in normal.items() if v.shape[-1] > 1}
    flat = {k: common_grid(v[:_MOST_NORMAL], _SIDE) for k, v in maps.items()}
    lifted = {k: common_grid(odd[k][local], _SIDE) for k in maps}

    def quality(heads: Sequence[str]) -> float:
        return _aupro(sum(flat[h] for h in heads), sum(lifted[h] for h in heads), truth)  # type: ignore[arg-type]

    by_head = {k: quality([k]) for k in maps}
    steps = _forward(list(maps), quality, LEAST_MAP_GAIN)
    heads = tuple(name for name, _ in steps)
    fused = np.mean([lifted[h] for h in heads], axis=0)
    cut, iou = _best_cut(fused, truth)
    return MapChoice(heads, cut, steps[-1][1], iou, by_head)


def change_exposure(image: Image, amount: float, seed: int) -> Image:
    """Gain, gamma and a slight gradient of illumination, each about ``amount`` (share)."""
    rng = np.random.default_rng([seed, 77])
    values = image.astype(np.float32)
    mean = max(float(values.mean()), 1.0)
    values = mean * (values / mean) ** np.exp(rng.normal(0, amount / 2))
    slope = rng.normal(0, amount / 3, 2)
    y = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None, None]
    x = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :, None]
    values = values * np.exp(rng.normal(0, amount)) * (1 + slope[0] * y + slope[1] * x)
    return np.asarray(np.clip(np.round(values), 0, 255), dtype=np.uint8)


def auroc(normal: npt.ArrayLike, odd: npt.ArrayLike) -> float:
    """Share of pairs in which the odd score is higher, ties half."""
    low, high = np.sort(np.asarray(normal)), np.asarray(odd)
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(np.mean(below) / (2 * len(low)))


def _forward(
    names: list[str], quality: Callable[[list[str]], float], least: float
) -> list[tuple[str, float]]:
    steps: list[tuple[str, float]] = []
    chosen: list[str] = []
    while len(chosen) < len(names):
        trials = {n: quality([*chosen, n]) for n in names if n not in chosen}
        best = max(trials, key=lambda n: trials[n])
        if steps and trials[best] < steps[-1][1] + least:
            break
        chosen.append(best)
        steps.append((best, trials[best]))
    return steps


def _by_kind(
    normal: Mapping[str, Scores],
    odd: Mapping[str, Scores],
    labels: npt.NDArray[np.str_],
    heads: Sequence[str],
    fusion: str,
) -> dict[str, float]:
    low = fuse_surprises([normal[h] for h in heads], fusion)
    high = fuse_surprises([odd[h] for h in heads], fusion)
    return {str(k): auroc(low, high[labels == k]) for k in np.unique(labels)}


def _aupro(normal: Floats, odd: Floats, truth: Mask) -> float:
    """Area under the per-anomaly overlap up to 30 % false positives, one region per image."""
    negatives = np.sort(np.concatenate([normal.ravel(), odd[~truth]]))
    areas = []
    for values, mask in zip(odd, truth, strict=True):
        above = 1 - np.searchsorted(negatives, values[mask], side="right") / len(negatives)
        areas.append(float(np.clip(_LIMIT - above, 0, None).mean() / _LIMIT))
    return float(np.mean(areas))


def _best_cut(odd: Floats, truth: Mask) -> tuple[float, float]:
    """The cut with the best mean intersection over union, and that mean."""
    best = (float(np.quantile(odd, 0.98)), -1.0)
    for share in np.linspace(0.8, 0.9995, 40):
        cut = float(np.quantile(odd, share))
        said = odd > cut
        union = (said | truth).sum(axis=(1, 2))
        iou = float(np.mean((said & truth).sum(axis=(1, 2)) / np.maximum(union, 1)))
        if iou > best[1] and cut > 0:
            best = (cut, iou)
    return best
