"""From the heads' maps to one score and one map, by calibrated p-values and not by set weights."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from serving.experts.calibration import Reference, Scores
from serving.experts.types import Floats

PEAK_SHARE = 0.012
"""Share of cells whose mean is a head's ``peak``: about three cells of a 16 x 16 grid."""
SPREAD_SHARE = 0.1
"""Share of cells whose mean is a head's ``spread``: sees wide, weak anomalies."""
MAP_SIDE = 64
"""Height and width of the fused map, cells."""
ROLES = ("full", "gated", "equal")
"""A ``full`` head always counts; a ``gated`` one only beyond its own p-value of ``GATE``; an
``equal`` one decides alone wherever it is more surprised than the sum of the others."""
GATE = 0.02


def peak_and_spread(values: Floats) -> Scores:
    """(N, h, w) to (2, N): the mean of the highest few cells and of the highest tenth."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:]))).astype(np.float64)
    counts = [max(1, round(share * flat.shape[1])) for share in (PEAK_SHARE, SPREAD_SHARE)]
    highest = np.partition(-flat, counts[1] - 1, axis=1)[:, : counts[1]]
    ordered = -np.sort(highest, axis=1)
    return np.stack([ordered[:, : counts[0]].mean(axis=1), ordered.mean(axis=1)])


def head_reference(ordered: Scores) -> tuple[Reference, Reference]:
    """Held-out normals' peak and spread, (2, M) with rows ascending, ready to compare with."""
    return Reference.of(ordered[0]), Reference.of(ordered[1])


def head_surprise(values: Floats, reference: tuple[Reference, Reference]) -> Scores:
    """(N,) surprise of a head: the mean over peak and spread, each against held-out normals.

    Args:
        values: standardised maps (N, h, w).
        reference: the head's held-out normals, see ``head_reference``.
    """
    peak, spread = peak_and_spread(values)
    return (reference[0].surprise(peak) + reference[1].surprise(spread)) / 2


def fuse_surprises(surprises: Mapping[str, Scores], roles: Mapping[str, str]) -> Scores:
    """The sum of surprises (Fisher 1932) over ``roles``, gated heads above the gate only.

    A gated head speaks up for what it alone sees and adds no noise to what it does not see. An
    equal head's evidence is neither diluted by the others nor gated: the larger of its surprise and
    the sum counts (Tippett 1931).

    Args:
        surprises: (N,) by head.
        roles: one of ``ROLES`` by head; other heads are left out.

    >>> seen = {"patchcore": np.array([1.0, 2.0]), "texture": np.array([0.5, 9.0])}
    >>> fuse_surprises(seen, {"patchcore": "full", "texture": "equal"}).tolist()
    [1.0, 9.0]
    """
    gate = -np.log(GATE)
    parts = [
        surprises[name] if role == "full" else np.clip(surprises[name] - gate, 0, None)
        for name, role in roles.items()
        if role != "equal"
    ]
    alone = [surprises[name] for name, role in roles.items() if role == "equal"]
    total = [np.sum(parts, axis=0)] if parts else []
    return np.asarray(np.max([*total, *alone], axis=0), dtype=np.float64)


def common_grid(values: Floats, side: int = MAP_SIDE) -> Floats:
    """(N, h, w) to (N, side, side), bilinear."""
    return np.stack(
        [cv2.resize(v, (side, side), interpolation=cv2.INTER_LINEAR) for v in values]
    ).astype(np.float32)


def fuse_maps(
    maps: Mapping[str, Floats], chosen: Sequence[str], cut: float, alone: Mapping[str, float]
) -> Floats:
    """Mean of the chosen heads' standardised maps, (N, 64, 64), in units of the region's cut.

    Args:
        maps: standardised (N, h, w) by head.
        chosen: heads whose mean makes the map.
        cut: value of that mean at which a region is outlined.
        alone: own cut of each head that decides alone: where it is odder, its map counts.
    """
    total = common_grid(maps[chosen[0]])
    for name in chosen[1:]:
        total += common_grid(maps[name])
    total /= np.float32(len(chosen) * cut)
    for name, own in alone.items():
        np.maximum(total, common_grid(maps[name]) / np.float32(own), out=total)
    return np.asarray(total, dtype=np.float32)
