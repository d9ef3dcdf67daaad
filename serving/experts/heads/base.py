"""What a head is: tensors fitted on normals, and a forward pass that any runtime can run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class FitInput:
    """Normals: ``features`` by layer (N, C, h, w) float32, ``pixels`` uint8 (N, H, W, 3)."""

    features: Mapping[str, Tensor]
    pixels: Tensor
    seed: int = 0

    def select(self, rows: Tensor) -> "FitInput":
        """The same input for some images only."""
        chosen = {k: v[rows] for k, v in self.features.items()}
        return FitInput(chosen, self.pixels[rows], self.seed)


class Head(nn.Module):
    """Scores features (or pixels) of a batch. All state is in buffers."""

    kind: ClassVar[str]
    layers: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def fit(cls, given: FitInput) -> Self:
        """Fit on normals."""
        raise NotImplementedError

    def forward(
        self, features: Mapping[str, Tensor], pixels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Image scores (N,) and a map (N, h, w) or None."""
        raise NotImplementedError

    @classmethod
    def blank(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild from saved buffers."""
        head = cls()
        for name, value in tensors.items():
            head.register_buffer(name, value)
        return head


def smooth3(features: Tensor) -> Tensor:
    """Locally aware patch features: 3x3 average, borders averaged over what exists."""
    return torch.nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
