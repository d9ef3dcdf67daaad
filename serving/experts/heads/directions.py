"""Projections on directions that labelled defects gave: the map of the taught head."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from serving.experts.head_state import TAUGHT, TAUGHT_LAYERS, HeadState
from serving.experts.heads.base import on_finest_grid, relative_to_image
from serving.experts.tensors import module_arrays


class Directions(nn.Module):
    """How far each cell lies in each direction, in deviations of held-out normals.

    Args:
        weights: (K, C), one row for each labelled photograph, one for each class of several.
        cell_mean: (K, h, w), the projections' mean over held-out normals.
        cell_inverse: (K, h, w), one over their deviation.
    """

    weights: Tensor
    cell_mean: Tensor
    cell_inverse: Tensor

    def __init__(self, weights: Tensor, cell_mean: Tensor, cell_inverse: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("cell_mean", cell_mean)
        self.register_buffer("cell_inverse", cell_inverse)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Standardised maps, (N, K, h, w)."""
        return self.of_layers(relative_layers(features))

    def state(self) -> HeadState:
        """What an artifact holds of it."""
        return HeadState(TAUGHT, {}, module_arrays(self))

    def first(self, count: int) -> "Directions":
        """The first so many."""
        own = (self.weights, self.cell_mean, self.cell_inverse)
        return Directions(*(part[:count].contiguous() for part in own))

    def of_layers(self, layers: Sequence[Tensor]) -> Tensor:
        """Standardised maps (N, K, h, w) of ``relative_layers``."""
        return (project(layers, self.weights) - self.cell_mean) * self.cell_inverse


def relative_layers(features: Mapping[str, Tensor]) -> list[Tensor]:
    """Each layer (N, C, h, w) on its own grid without its own image's mean and deviation."""
    finest, *coarser = (features[layer] for layer in TAUGHT_LAYERS)
    mean = functional.avg_pool2d(finest, 2, 2, ceil_mode=True, count_include_pad=False)
    highest = functional.max_pool2d(finest, 2, 2, ceil_mode=True)
    return [relative_to_image(x) for x in (torch.cat([mean, highest], dim=1), *coarser)]


def describe_cells(layers: Sequence[Tensor]) -> Tensor:
    """Relative layers with all channels in a row on the finest grid, (N, C, h, w)."""
    return on_finest_grid(layers)


def project(layers: Sequence[Tensor], weights: Tensor) -> Tensor:
    """``describe_cells(layers)`` times ``weights`` (K, C), (N, K, h, w).

    A projection and a bilinear resize may change places: each layer is projected on its own grid,
    which costs a sixteenth on the coarse ones.
    """
    total, start = None, 0
    size = layers[0].shape[-2:]
    for x in layers:
        own = weights[:, start : start + x.shape[1], None, None]
        start += x.shape[1]
        part = functional.conv2d(x, own)
        if part.shape[-2:] != size:
            part = functional.interpolate(part, size=size, mode="bilinear")
        total = part if total is None else total + part
    assert total is not None
    return total
