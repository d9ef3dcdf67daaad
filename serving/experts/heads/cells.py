"""Position-aware nearest neighbours: each grid cell has its own memory bank."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from serving.experts.heads.base import FitInput, Head, smooth3

_TOP = 3


class CellBank(Head):
    """Distance to the nearest normal of the same cell, standardised per cell.

    For fixtured parts: what is normal at one place is odd at another.
    """

    kind = "cells"
    layers = ("stage4",)
    mean: Tensor
    deviation: Tensor
    bank: Tensor
    cell_mean: Tensor
    cell_deviation: Tensor

    @classmethod
    def fit(cls, given: FitInput) -> Self:
        """Bank of all normals; cell statistics from every second normal held out."""
        x = smooth3(given.features["stage4"])
        mean = x.mean(dim=(0, 2, 3))
        deviation = x.std(dim=(0, 2, 3)) + 1e-6
        z = ((x - mean[:, None, None]) / deviation[:, None, None]).flatten(2).permute(2, 0, 1)
        half = z.shape[1] // 2
        distances = torch.cat(
            [_nearest(z[:, :half], z[:, half:]), _nearest(z[:, half:], z[:, :half])], dim=1
        )
        return cls.blank(
            {
                "mean": mean,
                "deviation": deviation,
                "bank": z.contiguous(),
                "cell_mean": distances.mean(dim=1),
                "cell_deviation": distances.std(dim=1) + 0.1 * distances.std(),
            }
        )

    def forward(
        self, features: Mapping[str, Tensor], pixels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Mean of the three highest cells, and the map of cells."""
        x = smooth3(features["stage4"])
        z = ((x - self.mean[:, None, None]) / self.deviation[:, None, None]).flatten(2)
        distances = _nearest(z.permute(2, 0, 1), self.bank)
        standard = (distances - self.cell_mean[:, None]) / self.cell_deviation[:, None]
        rows = standard.permute(1, 0)
        top = rows.topk(_TOP, dim=1).values.mean(dim=1)
        return top, rows.reshape(-1, *x.shape[-2:])


def _nearest(queries: Tensor, bank: Tensor) -> Tensor:
    """Euclidean distance to the nearest row, per cell: (P, N, C), (P, M, C) -> (P, N)."""
    product = torch.bmm(queries, bank.transpose(1, 2))
    squared = (bank * bank).sum(-1)[:, None, :] - 2 * product
    own = (queries * queries).sum(-1)
    return (squared.amin(dim=2) + own).clamp_min(0).sqrt()
