"""PaDiM (Defard et al. 2021): a Gaussian per cell over several layers, on the finest grid."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import (
    FitInput,
    Head,
    by_cell,
    channel_statistics,
    on_finest_grid,
    relative_to_image,
    smooth3,
    to_map,
)
from serving.experts.heads.cells import gaussian_by_cell, mahalanobis

_MOST_IMAGES = 100
"""Images that the principal directions are taken from: at every second cell, up and across, still
ten thousands of patches for a covariance of 232 channels."""


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
    defaults: ClassVar[dict[str, float]] = {"dimensions": 56, "shrink": 0.3, "relative": True}

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Principal directions, then a Gaussian per cell."""
        settings = {**cls.defaults, **config}
        layers = [smooth3(given.features[layer]) for layer in cls.layers]
        statistics = [channel_statistics(x) for x in layers]
        mean, inverse = (torch.cat(part) for part in zip(*statistics, strict=True))
        blank = cls({"mean": mean, "inverse": inverse}, **config)
        sample = torch.arange(0, len(given), -(-len(given) // _MOST_IMAGES))
        joined = on_finest_grid(blank.scaled([x[sample] for x in layers]))[:, :, ::2, ::2]
        values, vectors = torch.linalg.eigh(torch.cov(joined.permute(1, 0, 2, 3).flatten(1)))
        kept = min(int(settings["dimensions"]), len(values))
        directions = vectors[:, -kept:] / values[-kept:].clamp_min(1e-6).sqrt()
        base = {"mean": mean, "inverse": inverse, "directions": directions.T.contiguous()}
        blank = cls(base, **config)
        cells = by_cell(torch.cat([blank.describe(part) for part in _split(layers)]))
        return cls(base | gaussian_by_cell(cells, settings["shrink"]), **config)

    def scaled(self, smooth: Sequence[Tensor]) -> list[Tensor]:
        """Each smoothed layer standardised, (N, C, h, w) on its own grid."""
        found, start = [], 0
        for x in smooth:
            own = slice(start, start + x.shape[1])
            start = own.stop
            scaled = (x - self.mean[own]) * self.inverse[own]
            found.append(relative_to_image(scaled) if self.config["relative"] else scaled)
        return found

    def describe(self, smooth: Sequence[Tensor]) -> Tensor:
        """(N, dimensions, h, w): projected on each layer's own grid, then enlarged and added."""
        parts, start = [], 0
        for x in self.scaled(smooth):
            own = self.directions[:, start : start + x.shape[1], None, None]
            start += x.shape[1]
            parts.append(functional.conv2d(x, own))
        size = parts[0].shape[-2:]
        total = parts[0]
        for part in parts[1:]:
            total = total + functional.interpolate(part, size=size, mode="bilinear")
        return total

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Mahalanobis distance of each cell, (N, h, w)."""
        x = self.describe([smooth3(features[layer]) for layer in self.layers])
        return to_map(mahalanobis(by_cell(x), self), x)


def _split(layers: Sequence[Tensor], count: int = 64) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(x, count) for x in layers), strict=True)
