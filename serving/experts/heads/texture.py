"""A Gaussian on raw patches: faint noise and blur that pretrained features do not see."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import FitInput, Head

_SIDE = 7
_POOL = 8


class Texture(Head):
    """Mahalanobis distance of grey 7x7 patches, pooled over windows of 16 pixels."""

    kind = "texture"
    kernels: Tensor
    offset: Tensor
    centre: Tensor
    spread: Tensor

    @classmethod
    def fit(cls, given: FitInput) -> Self:
        """Covariance of patches over all normals, whitened into a bank of filters."""
        grey = _grey(given.pixels)
        total = torch.zeros(_SIDE**2, dtype=torch.float64)
        outer = torch.zeros(_SIDE**2, _SIDE**2, dtype=torch.float64)
        count = 0
        for image in grey:
            patches = functional.unfold(image[None], _SIDE, stride=3)[0].T
            total += patches.sum(0)
            outer += (patches.T @ patches).double()
            count += len(patches)
        mean = total / count
        covariance = outer / count - mean[:, None] * mean[None]
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(values.max() * 1e-5)
        whiten = (vectors / values.sqrt()).T
        head = cls.blank(
            {
                "kernels": whiten.float().reshape(-1, 1, _SIDE, _SIDE),
                "offset": -(whiten @ mean).float(),
                "centre": torch.zeros(()),
                "spread": torch.ones(()),
            }
        )
        maps = torch.cat([head._energy(part) for part in grey.split(8)])
        head.centre, head.spread = maps.mean(), maps.std()
        return head

    def forward(
        self, features: Mapping[str, Tensor], pixels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The image's largest deviation, high or low, and the map of windows."""
        energy = (self._energy(_grey(pixels)) - self.centre) / self.spread
        flat = energy.flatten(1)
        local = flat.topk(4, dim=1).values.mean(dim=1)
        return torch.maximum(local, 3 * flat.mean(dim=1).abs()), energy

    def _energy(self, grey: Tensor) -> Tensor:
        white = functional.conv2d(grey, self.kernels, self.offset, stride=2)
        return functional.avg_pool2d((white * white).mean(dim=1, keepdim=True), _POOL)[:, 0]


def _grey(pixels: Tensor) -> Tensor:
    return pixels.float().mean(dim=3)[:, None] / 255
