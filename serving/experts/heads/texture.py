"""A Gaussian on raw patches: faint noise and blur that pretrained features do not see."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import FitInput, Head

_DARK = 16.0
"""Grey levels added before the logarithm, so that sensor noise in the dark stays small."""
_MOST_IMAGES = 150
"""Images whose patches make the covariance: enough for 49 x 49 numbers many times over."""


class Texture(Head):
    """Mahalanobis energy of grey patches, averaged over windows.

    The patches' mean is taken out, so brightness does not count. Configuration: ``side`` of a
    patch, ``stride`` between patches and ``window`` (patches per side of a window, overlapping
    by half).
    """

    kind = "texture"
    sees = "faint noise, blur and grain in the raw pixels"
    defaults: ClassVar[dict[str, Any]] = {"side": 7, "stride": 2, "window": 8}
    kernels: Tensor
    offset: Tensor

    @classmethod
    def fit(cls, given: FitInput, **config: Any) -> Self:
        """Covariance of patches over all normals, whitened into a bank of filters."""
        side = {**cls.defaults, **config}["side"]
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
        flat = torch.eye(size, dtype=torch.float64) - 1 / size
        covariance = flat @ (outer / count - mean[:, None] * mean) @ flat
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values[1:], vectors[:, 1:]
        values = values.clamp_min(float(values[-1]) * 1e-5 + 1e-9)
        white = (vectors / values.sqrt()).T @ flat
        kernels = white.float().reshape(-1, 1, side, side).contiguous()
        return cls({"kernels": kernels, "offset": -(white @ mean).float()}, **config)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Log energy of windows: as odd when too rough as the standardisation lets it be."""
        stride, window = self.config["stride"], self.config["window"]
        white = functional.conv2d(_grey(pixels), self.kernels, self.offset, stride=stride)
        energy = white.square().mean(dim=1, keepdim=True)
        return functional.avg_pool2d(energy, window, window // 2)[:, 0].clamp_min(1e-6).log()


def _grey(pixels: Tensor) -> Tensor:
    """Log intensity: a change of gain is a constant, which the patches' mean takes out."""
    return (pixels.float().mean(dim=3)[:, None] + _DARK).log()
