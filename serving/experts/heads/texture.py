"""A Gaussian on raw patches: faint noise and blur that pretrained features do not see."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import FitInput, Head

_MIDDLE = 128.0
"""Taken off first: small numbers keep their digits through the filters."""
_SHRINK = 1e-3
"""Share of the mean eigenvalue added to each: keeps directions without variance in bounds."""
_MOST_IMAGES = 150
"""Images whose patches make the covariance: enough for 49 x 49 numbers many times over."""


class Texture(Head):
    """Mahalanobis energy of grey patches, averaged over windows.

    On linear grey levels with the patches' mean kept: measured on the textile set, a logarithm or
    a mean taken out hides its local noise. Configuration: ``side`` of a patch, ``stride`` between
    patches and ``window`` (patches per side of a window, overlapping by half).
    """

    kind = "texture"
    sees = "faint noise, blur and grain in the raw pixels"
    defaults: ClassVar[dict[str, float]] = {"side": 7, "stride": 2, "window": 8}

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Covariance of patches over all normals, whitened into a bank of filters."""
        side = int({**cls.defaults, **config}["side"])
        size = side * side
        total, count = torch.zeros(size, dtype=torch.float64), 0
        outer = torch.zeros(size, size, dtype=torch.float64)
        step = max(1, len(given) // _MOST_IMAGES)
        for image in given.pixels[::step]:
            patches = functional.unfold(_grey(image[None]), side, stride=4)[0].T
            total += patches.sum(0)
            outer += (patches.T @ patches).double()
            count += len(patches)
        mean = total / count
        covariance = outer / count - mean[:, None] * mean
        values, vectors = torch.linalg.eigh(covariance)
        values = values + _SHRINK * float(values.mean())
        white = (vectors / values.sqrt()).T
        kernels = white.float().reshape(-1, 1, side, side).contiguous()
        return cls({"kernels": kernels, "offset": -(white @ mean).float()}, **config)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Log energy of windows: as odd when too rough as the standardisation lets it be."""
        stride, window = int(self.config["stride"]), int(self.config["window"])
        white = functional.conv2d(_grey(pixels), self.kernels, self.offset, stride=stride)
        energy = white.square().mean(dim=1, keepdim=True)
        return functional.avg_pool2d(energy, window, window // 2)[:, 0].clamp_min(1e-6).log()


def _grey(pixels: Tensor) -> Tensor:
    """Grey levels about zero, (N, H, W, 3) uint8 to (N, 1, H, W)."""
    return pixels.float().mean(dim=3)[:, None] - _MIDDLE
