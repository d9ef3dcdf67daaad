"""What DDAD's choices are made on: normals it learnt, exposure-changed, and with anomalies."""

from dataclasses import dataclass

import numpy as np

from serving.experts.selection import auroc, change_exposure
from serving.experts.synthetic import KINDS, corrupt
from serving.experts.types import Floats, Image, Mask

_MOST_CHANGE = 0.12


@dataclass(frozen=True, eq=False)
class Trial:
    """Three versions of the same photographs, uint8 (N, H, W, 3) each."""

    plain: Image
    changed: Image
    odd: Image
    masks: Mask
    """What is odd, (N, H, W)."""
    kinds: list[str]

    @property
    def images(self) -> tuple[Image, Image, Image]:
        """Plain, exposure-changed, odd."""
        return self.plain, self.changed, self.odd

    def quality(self, plain: Floats, changed: Floats, odd: Floats) -> dict[str, float]:
        """AUROC by synthetic kind of image scores (N,), plain and changed both normal."""
        normal, labels = np.concatenate([plain, changed]), np.asarray(self.kinds)
        return {str(k): auroc(normal, odd[labels == k]) for k in np.unique(labels)}


def make_trial(pixels: Image, count: int, exposure: float | None, seed: int) -> Trial:
    """``count`` of the normals, each also under another exposure and with an anomaly.

    Args:
        pixels: uint8 (N, H, W, 3); drawn again where N < count.
        exposure: share of change under which a part stays normal; None: half of the spread of
            brightness among the normals, 0.12 at most.
    """
    if exposure is None:
        spread = float(np.std(np.log(pixels.mean(axis=(1, 2, 3)) + 1)))
        exposure = min(_MOST_CHANGE, 0.5 * spread)
    rng = np.random.default_rng([seed, 2])
    rows = np.concatenate([rng.permutation(len(pixels)) for _ in range(-(-count // len(pixels)))])
    rows = rows[:count]
    names = list(KINDS)
    kinds = [names[i % len(names)] for i in range(count)]
    made = [
        corrupt(pixels[r], pixels[int(rng.integers(len(pixels)))], kind, seed * 7919 + i)
        for i, (r, kind) in enumerate(zip(rows, kinds, strict=True))
    ]
    changed = [change_exposure(pixels[r], exposure, seed * 7919 + i) for i, r in enumerate(rows)]
    return Trial(
        pixels[rows],
        np.stack(changed),
        np.stack([image for image, _ in made]),
        np.stack([mask for _, mask in made]),
        kinds,
    )
