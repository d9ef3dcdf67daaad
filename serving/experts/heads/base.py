"""What a head is: buffers fitted on normals, and a map that any runtime can compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class FitInput:
    """Images: ``features`` by layer (N, C, h, w) float32, ``pixels`` uint8 (N, H, W, 3)."""

    features: Mapping[str, Tensor]
    pixels: Tensor
    seed: int = 0

    def __len__(self) -> int:
        return len(self.pixels)

    def select(self, rows: Tensor) -> "FitInput":
        """The features and pixels of some images only."""
        chosen = {k: v[rows] for k, v in self.features.items()}
        return FitInput(chosen, self.pixels[rows], self.seed)


class Head(nn.Module):
    """Maps features (or pixels) of a batch to oddness. All fitted state is in buffers."""

    kind: ClassVar[str]
    sees: ClassVar[str]
    """What the others cannot see, in words, for the artifact."""
    layers: ClassVar[tuple[str, ...]] = ()
    fixtured: ClassVar[bool] = False
    """Knows what is normal at each place, and so needs the part to lie the same every time."""
    defaults: ClassVar[dict[str, float]] = {}
    """Configuration by name: counts, shares, and switches (booleans)."""

    def __init__(self, tensors: Mapping[str, Tensor], **config: float) -> None:
        """Rebuild from saved buffers and configuration."""
        super().__init__()
        self.config: dict[str, float] = {**self.defaults, **config}
        for name, value in tensors.items():
            self.register_buffer(name, value)

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Fit the head on normals alone."""
        raise NotImplementedError

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor:
            """A fitted buffer; a head has no submodules."""

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Oddness (N, h, w); (N, 1, 1) for a head without a place."""
        raise NotImplementedError


def smooth3(features: Tensor) -> Tensor:
    """Locally aware patch features: 3x3 average, borders averaged over what exists.

    >>> smooth3(torch.tensor([[[[0.0, 4.0]]]])).tolist()
    [[[[2.0, 2.0]]]]
    """
    is_drawn = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch says no types
    if features.device.type != "cpu" or is_drawn:
        return functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
    # channel by channel within a cell: the same sums in a third of the time, both copies included
    beside = features.contiguous(memory_format=torch.channels_last)
    return functional.avg_pool2d(beside, 3, 1, 1, count_include_pad=False).contiguous()


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation of each channel, shape (C, 1, 1), of (N, C, h, w)."""
    mean = features.mean(dim=(0, 2, 3))[:, None, None]
    others = features.numel() / len(mean) - 1
    # torch's own deviation of several dimensions takes five times as long
    variance = (features - mean).square_().sum(dim=(0, 2, 3)) / others
    return mean, 1 / (variance.sqrt()[:, None, None] + 1e-6)


def relative_to_image(features: Tensor) -> Tensor:
    """Each channel without its own image's mean and deviation: exposure and tone cancel."""
    centred = features - features.mean(dim=(2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / (deviation + 1e-3)


def on_finest_grid(layers: Sequence[Tensor]) -> Tensor:
    """Layers (N, C, h, w), fine to coarse, on the first one's grid with all channels in a row."""
    size = layers[0].shape[-2:]
    sized = [
        x if x.shape[-2:] == size else functional.interpolate(x, size=size, mode="bilinear")
        for x in layers
    ]
    return torch.cat(sized, dim=1)


def by_cell(features: Tensor) -> Tensor:
    """(N, C, h, w) to (h * w, N, C): from channels last without a copy."""
    return features.permute(0, 2, 3, 1).flatten(1, 2).transpose(0, 1)


def to_map(values: Tensor, like: Tensor) -> Tensor:
    """(P, N) back to (N, h, w) with the spatial shape of ``like``."""
    return values.permute(1, 0).reshape(-1, like.shape[-2], like.shape[-1])


def whitening(covariance: Tensor) -> Tensor:
    """W with ``W covariance W^T = 1``, over leading axes; float64 in, float32 out."""
    lower = torch.linalg.cholesky(covariance.double())
    unit = torch.eye(covariance.shape[-1], dtype=torch.float64).expand_as(lower)
    white: Tensor = torch.linalg.solve_triangular(lower, unit, upper=False)
    return white.float()


def ledoit_wolf(rows: Tensor) -> Tensor:
    """Covariance of centred rows (N, D), shrunk to a scaled identity (Ledoit & Wolf 2004)."""
    x = rows.double()
    n, d = x.shape
    sample = x.T @ x / n
    scale = sample.diagonal().mean()
    gap = (sample - scale * torch.eye(d, dtype=torch.float64)).square().sum()
    spread = ((x.square().T @ x.square()) / n - sample.square()).sum() / n
    share = float((spread / gap.clamp_min(1e-12)).clamp(0, 1))
    unit = torch.eye(d, dtype=torch.float64)
    return (1 - share) * sample + share * scale * unit
