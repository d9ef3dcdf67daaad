"""What training chooses on: normals, the same under another exposure, and with anomalies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.experts.selection import auroc, change_exposure
from serving.experts.synthetic import KINDS, corrupt
from serving.experts.types import Floats, Image, Mask

_MOST_CHANGE = 0.12
"""Largest default change of exposure, share of gain."""


@dataclass(frozen=True, eq=False)
class TrialImages:
    """Three versions of the same normals, uint8 (N, H, W, 3) each."""

    normals: Image
    """Every normal, of which the trial drew some."""
    rows: npt.NDArray[np.int64]
    """The trial's images as rows of ``normals``, (N,)."""
    changed: Image
    """The same images under another exposure."""
    odd: Image
    """The same images with a synthetic anomaly each."""
    masks: Mask
    """Pixels that belong to the anomaly, (N, H, W)."""
    kinds: Sequence[str]
    """Kind of each synthetic anomaly."""

    @property
    def images(self) -> tuple[Image, Image, Image]:
        """Plain, exposure-changed, odd."""
        return self.normals[self.rows], self.changed, self.odd

    def quality(self, plain: Floats, changed: Floats, odd: Floats) -> dict[str, float]:
        """AUROC by synthetic kind of image scores (N,), plain and changed both normal."""
        normal, labels = np.concatenate([plain, changed]), np.asarray(self.kinds)
        return {str(k): auroc(normal, odd[labels == k]) for k in np.unique(labels)}


def make_trial(
    pixels: Image, count: int, exposure: float | None, seed: int, rng: np.random.Generator
) -> TrialImages:
    """``count`` of the normals, each also under another exposure and with an anomaly.

    Args:
        pixels: uint8 (N, H, W, 3); drawn again where N < count.
        exposure: share of change under which a part stays normal; None: half of the spread of
            brightness among the normals, 0.12 at most.
        seed: decides the anomalies and exposures.
        rng: draws the photographs.
    """
    if exposure is None:
        spread = float(np.std(np.log(pixels.mean(axis=(1, 2, 3)) + 1)))
        exposure = min(_MOST_CHANGE, 0.5 * spread)
    turns = range(-(-count // len(pixels)))
    rows = np.concatenate([rng.permutation(len(pixels)) for _ in turns])[:count]
    kinds = [list(KINDS)[i % len(KINDS)] for i in range(count)]
    made = [
        corrupt(pixels[r], pixels[int(rng.integers(len(pixels)))], kind, seed * 7919 + i)
        for i, (r, kind) in enumerate(zip(rows, kinds, strict=True))
    ]
    changed = [change_exposure(pixels[r], exposure, seed * 7919 + i) for i, r in enumerate(rows)]
    odd, masks = (np.stack(part) for part in zip(*made, strict=True))
    return TrialImages(pixels, rows, np.stack(changed), odd, masks, kinds)
