"""A Gaussian on pooled statistics: anomalies of the whole image that no patch shows."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from serving.experts.heads.base import FitInput, Head, channel_statistics, ledoit_wolf, whitening


class Pooled(Head):
    """Mahalanobis distance of each layer's channel means and deviations, Ledoit-Wolf shrunk."""

    kind = "pooled"
    sees = "deviations of the image as a whole, which no single patch shows"
    layers = ("stage2", "stage3", "stage4")

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Centre and shrunk covariance."""
        rows = _statistics(given.features)
        mean, inverse = channel_statistics(rows[:, :, None, None])
        centre, inverse = mean[:, 0, 0], inverse[:, 0, 0]
        white = whitening(ledoit_wolf((rows - centre) * inverse))
        return cls({"centre": centre, "inverse": inverse, "white": white.T.contiguous()}, **config)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """One distance per image, (N, 1, 1)."""
        rows = (_statistics(features) - self.centre) * self.inverse
        return (rows @ self.white).square().mean(dim=1).sqrt()[:, None, None]


def _statistics(features: Mapping[str, Tensor]) -> Tensor:
    found = []
    for layer in Pooled.layers:
        x = features[layer]
        mean = x.mean(dim=(2, 3))
        spread = (x - mean[:, :, None, None]).square().mean(dim=(2, 3)).sqrt()
        found += [mean, spread]
    return torch.cat(found, dim=1)
