"""Position-aware heads for fixtured parts: what is normal at one place is odd at another."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from serving.experts.heads.base import (
    FitInput,
    Head,
    by_cell,
    channel_statistics,
    relative_to_image,
    smooth3,
    to_map,
    whitening,
)
from serving.experts.heads.coreset import greedy, projection
from serving.experts.heads.search import smallest_squared, squared_norms

_WHITE = "white"
_BLOCKS, _STEP = 4, 16
"""Blocks of a whitening at most, and what their outputs are a multiple of, twice at least: full
registers of the widest vectors. Of 112 channels 63 % of the numbers remain."""


class CellBank(Head):
    """Distance to the nearest normal of the same cell.

    Configuration: ``rows`` kept per cell, a greedy coreset of each cell's normals.
    """

    kind = "cells"
    fixtured = True
    sees = "patches that are odd at their place on a fixtured part"
    layers = ("stage4",)
    defaults: ClassVar[dict[str, float]] = {"rows": 192}

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Collect a bank for each cell."""
        rows = int({**cls.defaults, **config}["rows"])
        x = smooth3(given.features["stage4"])
        mean, inverse = channel_statistics(x)
        cells = by_cell((x - mean) * inverse)
        if cells.shape[1] > rows:
            whole = cells.permute(1, 0, 2).flatten(1)
            picked = greedy(whole @ projection(whole.shape[1], 128, given.seed), rows, given.seed)
            cells = cells[:, picked]
        bank = cells.contiguous()
        tensors = {"mean": mean, "inverse": inverse, "bank": bank, "norms": squared_norms(bank)}
        return cls(tensors, **config)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Distance of each cell to its nearest normal, (N, h, w)."""
        x = smooth3(features["stage4"])
        queries = by_cell((x - self.mean) * self.inverse)
        return to_map(smallest_squared(queries, self.bank, self.norms).sqrt(), x)


class CellGaussian(Head):
    """Mahalanobis distance per cell, each cell's covariance shrunk to that of all cells.

    Configuration: ``relative`` divides the image's own mean and deviation per channel out first,
    so that exposure and overall tone do not count; ``shrink`` is the pooled share, 0 to 1;
    ``smooth`` averages features over 3 x 3 cells first.
    """

    kind = "relative"
    fixtured = True
    sees = "cells that differ from the rest of their own image, whatever its exposure"
    layers = ("stage4",)
    defaults: ClassVar[dict[str, float]] = {"relative": True, "shrink": 0.3, "smooth": True}

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Mean and shrunk covariance per cell."""
        blank = cls({}, **config)
        patches = blank.patches(given.features)
        mean, inverse = channel_statistics(patches)
        blank = cls({"mean": mean, "inverse": inverse}, **config)
        cells = by_cell(blank.scaled(patches))
        tensors = dict(blank.named_buffers()) | gaussian_by_cell(cells, blank.config["shrink"])
        return cls(tensors, **config)

    def patches(self, features: Mapping[str, Tensor]) -> Tensor:
        """(N, C, h, w) of the layer, smoothed or as they are."""
        x = features[self.layers[0]]
        return smooth3(x) if self.config["smooth"] else x

    def describe(self, features: Mapping[str, Tensor]) -> Tensor:
        """(N, C, h, w) after both standardisations."""
        return self.scaled(self.patches(features))

    def scaled(self, patches: Tensor) -> Tensor:
        """The same of patches that are smoothed already where they are to be."""
        x = (patches - self.mean) * self.inverse
        if not self.config["relative"]:
            return x
        return relative_to_image(x)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Mahalanobis distance of each cell, (N, h, w)."""
        x = self.describe(features)
        return to_map(mahalanobis(by_cell(x), self), x)


class SharpCells(CellGaussian):
    """``CellGaussian`` without the 3 x 3 average: small anomalies keep their strength."""

    kind = "sharp"
    sees = "spots and thin lines that an average over neighbours would dilute, and their outline"
    defaults: ClassVar[dict[str, float]] = {"relative": True, "shrink": 0.3, "smooth": False}


def gaussian_by_cell(cells: Tensor, shrink: float) -> dict[str, Tensor]:
    """``centre`` (P, 1, C) and the whitening of each cell in blocks, of normals (P, N, C).

    The whitening is triangular: an output needs no later input. ``white0``, ``white1`` and so on
    are some outputs each, (P, inputs, outputs), with the inputs that they need.
    """
    cells = cells.contiguous()
    centre = cells.mean(dim=1, keepdim=True)
    gaps = cells - centre
    covariance = torch.bmm(gaps.transpose(1, 2), gaps) / cells.shape[1]
    pooled = covariance.mean(dim=0)
    ridge = 1e-3 * pooled.diagonal().mean() * torch.eye(cells.shape[2])
    white = whitening((1 - shrink) * covariance + shrink * pooled + ridge).transpose(1, 2)
    blocks, channels = {}, cells.shape[2]
    width = _STEP * max(2, -(-channels // (_BLOCKS * _STEP)))
    for i, start in enumerate(range(0, channels, width)):
        stop = min(start + width, channels)
        blocks[f"{_WHITE}{i}"] = white[:, :stop, start:stop].contiguous()
    return {"centre": centre, **blocks}


def mahalanobis(cells: Tensor, head: Head) -> Tensor:
    """Distances (P, N) of (P, N, C), per square root of a dimension.

    Args:
        cells: what the head compares.
        head: holds what ``gaussian_by_cell`` gave, or ``white`` (P, C, C) in one piece, as heads
            that were fitted by earlier versions do.
    """
    gaps = cells - head.centre
    blocks = [value for name, value in sorted(head.named_buffers()) if name.startswith(_WHITE)]
    spread = [torch.matmul(gaps[..., : block.shape[1]], block) for block in blocks]
    return torch.cat(spread, dim=-1).square().mean(dim=-1).sqrt()
