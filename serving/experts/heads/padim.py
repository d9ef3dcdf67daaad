"""PaDiM (Defard et al. 2021): a Gaussian per cell over several layers, on the finest grid."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import (
    FitInput,
    Head,
    by_cell,
    channel_statistics,
    relative_to_image,
    smooth3,
    to_map,
)
from serving.experts.heads.cells import gaussian_by_cell, mahalanobis

_MOST_IMAGES = 150
"""Images that the principal directions are taken from."""


class Padim(Head):
    """Mahalanobis distance per cell of the finer layer's grid.

    Principal directions (whitened) replace the paper's random choice of dimensions.
    Configuration: ``dimensions`` kept, ``shrink`` to the covariance of all cells, 0 to 1,
    ``relative`` divides the image's own mean and deviation per channel out first.
    """

    kind = "padim"
    fixtured = True
    sees = "small and thin deviations at their place, on a grid twice as fine"
    layers = ("stage2", "stage3", "stage4")
    defaults: ClassVar[dict[str, Any]] = {"dimensions": 56, "shrink": 0.3, "relative": True}
    mean: Tensor
    inverse: Tensor
    directions: Tensor
    centre: Tensor
    white: Tensor

    @classmethod
    def fit(cls, given: FitInput, **config: Any) -> Self:
        """Principal directions, then a Gaussian per cell."""
        settings = {**cls.defaults, **config}
        sample = torch.arange(0, len(given), max(1, len(given) // _MOST_IMAGES))
        joined = _join(given.select(sample).features)
        mean, inverse = channel_statistics(joined)
        joined = (joined - mean) * inverse
        if settings["relative"]:
            joined = relative_to_image(joined)
        rows = joined.permute(1, 0, 2, 3).flatten(1)
        values, vectors = torch.linalg.eigh(torch.cov(rows))
        kept = min(settings["dimensions"], len(values))
        directions = vectors[:, -kept:] / values[-kept:].clamp_min(1e-6).sqrt()
        base = {"mean": mean, "inverse": inverse, "directions": directions.T.contiguous()}
        blank = cls(base, **config)
        cells = by_cell(torch.cat([blank.describe(f) for f in _split(given.features)]))
        return cls(base | gaussian_by_cell(cells, settings["shrink"]), **config)

    def describe(self, features: Mapping[str, Tensor]) -> Tensor:
        """(N, dimensions, h, w)."""
        x = (_join(features) - self.mean) * self.inverse
        if self.config["relative"]:
            x = relative_to_image(x)
        return functional.conv2d(x, self.directions[:, :, None, None])

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Mahalanobis map."""
        x = self.describe(features)
        return to_map(mahalanobis(by_cell(x), self.centre, self.white), x)


def _join(features: Mapping[str, Tensor]) -> Tensor:
    fine, *coarse = (smooth3(features[layer]) for layer in Padim.layers)
    size = fine.shape[-2:]
    larger = [functional.interpolate(x, size=size, mode="bilinear") for x in coarse]
    return torch.cat([fine, *larger], dim=1)


def _split(features: Mapping[str, Tensor], count: int = 64) -> list[dict[str, Tensor]]:
    return [
        dict(zip(features, values, strict=True))
        for values in zip(*(torch.split(v, count) for v in features.values()), strict=True)
    ]
