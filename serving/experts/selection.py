"""Which heads a product gets, in which role, and where a region is cut.

Chosen on held-out normals and synthetic anomalies made from them; no defect is ever seen. Held-out
normals under a mild change of exposure count as normal too, unless the options say otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.experts.calibration import Scores
from serving.experts.fusion import common_grid, fuse_surprises
from serving.experts.synthetic import LOCAL_KINDS
from serving.experts.types import Floats, Image, Mask

LEAST_GAIN = 0.004
"""A head is added when it raises the mean AUROC over synthetic kinds by this much."""
INSURANCE = ("texture", "pooled")
"""Heads that see what synthetic anomalies show too little of (faint noise, changes of the image as
a whole): they join behind their gate unless that costs ``INSURANCE_COST``. Found on textiles.
Unless it is the best head by itself, such a head never counts fully: it would add its own noise to
every image that shows nothing of its kind."""
INSURANCE_COST = 0.01
EQUAL = ("texture",)
EQUAL_COST = 0.005
"""A gated head of ``EQUAL`` decides alone (role ``equal``) where that costs no more than this: the
gate dilutes what only it sees. Set on the textile set, where it costs nothing and takes the share
of local defects found from .90 to 1.00; on products with other grain it costs more, and stays
gated."""
MAP_MARGIN = 0.02
"""A head whose own synthetic AUPRO is this close to the best may join the map: the mean of two
outlines steadier than either, and a finer choice would trust the synthetic anomalies too far."""
MOST_MAP_HEADS = 2
"""Each costs time on every frame."""
_ADDED = ("full", "gated")
"""Roles that forward selection tries."""
_LIMIT = 0.3
_NORMAL_CELLS = 5e-4
"""Share of held-out normals' cells above ``normal_cut``."""
_MOST_CUT = 2
"""Highest cut of a region, in ``normal_cut``: a few kinds of strong anomaly must not raise it
beyond what faint ones reach."""
_SIDE = 32
"""Grid on which maps are compared, cells."""
_MOST_NORMAL = 120
"""Held-out normals whose pixels make the false positive rate."""


@dataclass(frozen=True)
class HeadChoice:
    """The heads with their roles in the order they were added, and why."""

    roles: dict[str, str]
    """``full``, ``gated`` or ``equal`` by head, see ``fusion.ROLES``."""
    auroc: float
    """Mean over synthetic kinds, held-out normals against synthetic anomalies."""
    reasons: dict[str, str]
    """The reason for every candidate, in words."""
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
    """Greedy forward selection of heads and their roles.

    Args:
        normal: surprise (N,) by head of held-out normals.
        odd: surprise (M,) by head of synthetic anomalies.
        kinds: kind of each synthetic anomaly, M.
    """
    labels = np.asarray(kinds)

    def quality(chosen: Sequence[tuple[str, str]]) -> float:
        return float(np.mean(list(_by_kind(normal, odd, labels, dict(chosen)).values())))

    first = max(normal, key=lambda name: quality([(name, "full")]))
    chosen = [(first, "full")]
    value = quality(chosen)
    reasons = {first: f"first: mean synthetic AUROC {value:.3f}"}
    while True:
        used = dict(chosen)
        trials = {
            (name, role): quality([*chosen, (name, role)])
            for name in normal
            if name not in used
            for role in (("gated",) if name in INSURANCE else _ADDED)
        }
        best = max(trials, key=lambda t: trials[t], default=None)
        if best is None or trials[best] < value + LEAST_GAIN:
            break
        chosen.append(best)
        reasons[best[0]] = (
            f"added, {best[1]}: mean synthetic AUROC {value:.3f} -> {trials[best]:.3f}"
        )
        value = trials[best]
    for name in (n for n in INSURANCE if n in normal and n not in reasons):
        changed = quality([*chosen, (name, "gated")])
        if changed >= value - INSURANCE_COST:
            chosen.append((name, "gated"))
            reasons[name] = (
                f"insurance, gated: sees what no other head does, and costs "
                f"{value - changed:+.3f} of the mean synthetic AUROC"
            )
            value = changed
    for name in (n for n in EQUAL if dict(chosen).get(n) == "gated"):
        promoted = [(n, "equal" if n == name else role) for n, role in chosen]
        changed = quality(promoted)
        if changed >= value - EQUAL_COST:
            reasons[name] += f"; equal: undiluted, at {value - changed:+.3f}"
            chosen, value = promoted, changed
    for name in normal:
        if name not in reasons:
            gain = max(quality([*chosen, (name, role)]) for role in _ADDED) - value
            reasons[name] = f"left out: would change the mean synthetic AUROC by {gain:+.3f}"
    return HeadChoice(dict(chosen), value, reasons, _by_kind(normal, odd, labels, dict(chosen)))


def choose_map(
    normal: Mapping[str, Floats], odd: Mapping[str, Floats], masks: Mask, kinds: Sequence[str]
) -> MapChoice:
    """The heads whose mean map outlines synthetic local anomalies best, and the region's cut.

    Args:
        normal: standardised maps (N, h, w) by head of held-out normals.
        odd: standardised maps (M, h, w) by head of synthetic anomalies.
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
    best = max(by_head.values())
    heads = tuple(
        sorted((k for k, v in by_head.items() if v >= best - MAP_MARGIN), key=lambda k: -by_head[k])
    )[:MOST_MAP_HEADS]
    fused = np.mean([lifted[h] for h in heads], axis=0)
    cut, iou = _best_cut(fused, truth)
    cut = min(cut, _MOST_CUT * normal_cut(np.mean([flat[h] for h in heads], axis=0)))
    return MapChoice(heads, cut, quality(heads), iou, by_head)


def normal_cut(values: Floats) -> float:
    """The cut that ``_NORMAL_CELLS`` of held-out normals' cells exceed; above 0."""
    return max(float(np.quantile(values, 1 - _NORMAL_CELLS)), 1e-3)


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


def _by_kind(
    normal: Mapping[str, Scores],
    odd: Mapping[str, Scores],
    labels: npt.NDArray[np.str_],
    roles: Mapping[str, str],
) -> dict[str, float]:
    low, high = fuse_surprises(normal, roles), fuse_surprises(odd, roles)
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
