"""The denoising UNet: residual blocks told the time, self-attention at coarse levels.

The ADM layout (Dhariwal & Nichol 2021) as DDAD uses it: blocks that resample inside, no
class label, mean of the noise only. It sees nothing of the target: conditioning is guidance.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from serving.experts.ddad.options import UNetSize


class UNet(nn.Module):
    """Predicts the noise in an image: (N, 3, H, W) and times (N,) to (N, 3, H, W).

    Any height and width: sides that the coarsest stride does not divide are mirrored outwards
    and the result is cut back.
    """

    def __init__(self, size: UNetSize) -> None:
        super().__init__()
        self.size = size
        embedding = size.base * 4
        self.embed = nn.Sequential(
            nn.Linear(size.base, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.stem = nn.Conv2d(3, size.base * size.multipliers[0], 3, padding=1)
        self.down, kept = _build_down(size, embedding)
        width = kept[-1]
        self.middle = nn.ModuleList(
            [
                _Residual(width, width, embedding, size),
                _Attention(width, size),
                _Residual(width, width, embedding, size),
            ]
        )
        self.up = _build_up(size, embedding, kept)
        first = size.base * size.multipliers[0]
        self.head = nn.Sequential(
            nn.GroupNorm(size.groups, first),
            nn.SiLU(),
            _zeroed(nn.Conv2d(first, 3, 3, padding=1)),
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Noise in ``x``; ``time`` counts from 0 (the first, faintest step)."""
        height, width = x.shape[-2:]
        missing = [-side % self.size.stride for side in (height, width)]
        if any(missing):
            x = functional.pad(x, (0, missing[1], 0, missing[0]), mode="reflect")
        told = self.embed(embed_time(time, self.size.base))
        x = self.stem(x)
        kept = [x]
        for level in self.down:
            x = _run(level, x, told)
            kept.append(x)
        x = _run(self.middle, x, told)
        for level in self.up:
            x = _run(level, torch.cat([x, kept.pop()], dim=1), told)
        found: Tensor = self.head(x)
        return found[:, :, :height, :width]


def embed_time(time: Tensor, width: int) -> Tensor:
    """Sine and cosine of a time (N,) at ``width / 2`` frequencies, (N, width)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=time.device) * (-math.log(10000) / half))
    angles = time.float()[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def count_parameters(module: nn.Module) -> int:
    """Numbers that training moves."""
    return sum(p.numel() for p in module.parameters())


def _build_down(size: UNetSize, embedding: int) -> tuple[nn.ModuleList, list[int]]:
    """The way down and the channels of everything that the way up sees again."""
    width = size.base * size.multipliers[0]
    levels, kept, stride = nn.ModuleList(), [width], 1
    for i, multiplier in enumerate(size.multipliers):
        for _ in range(size.blocks):
            parts: list[nn.Module] = [_Residual(width, size.base * multiplier, embedding, size)]
            width = size.base * multiplier
            if stride in size.attention:
                parts.append(_Attention(width, size))
            levels.append(nn.ModuleList(parts))
            kept.append(width)
        if i < len(size.multipliers) - 1:
            halved = _Residual(width, width, embedding, size, nn.AvgPool2d(2))
            levels.append(nn.ModuleList([halved]))
            kept.append(width)
            stride *= 2
    return levels, kept


def _build_up(size: UNetSize, embedding: int, kept: list[int]) -> nn.ModuleList:
    left = list(kept)
    width, stride = kept[-1], size.stride
    levels = nn.ModuleList()
    for i, multiplier in reversed(list(enumerate(size.multipliers))):
        for j in range(size.blocks + 1):
            inner = size.base * multiplier
            parts: list[nn.Module] = [_Residual(width + left.pop(), inner, embedding, size)]
            width = inner
            if stride in size.attention:
                parts.append(_Attention(width, size))
            if i and j == size.blocks:
                parts.append(_Residual(width, width, embedding, size, nn.Upsample(scale_factor=2)))
                stride //= 2
            levels.append(nn.ModuleList(parts))
    return levels


class _Residual(nn.Module):
    """Two convolutions, the time added between them; optionally resamples."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        size: UNetSize,
        resample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(size.groups, inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(embedding, outputs)
        self.second_norm = nn.GroupNorm(size.groups, outputs)
        self.dropout = nn.Dropout(size.dropout)
        self.second = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.resample = resample or nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        inner = self.first(self.resample(functional.silu(self.first_norm(x))))
        inner = inner + self.time(functional.silu(told))[:, :, None, None]
        inner = self.second(self.dropout(functional.silu(self.second_norm(inner))))
        kept: Tensor = self.skip(self.resample(x))
        found: Tensor = kept + inner
        return found


class _Attention(nn.Module):
    """Every cell looks at every other."""

    def __init__(self, width: int, size: UNetSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm = nn.GroupNorm(size.groups, width)
        self.qkv = nn.Conv1d(width, width * 3, 1)
        self.out = _zeroed(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        count, width = x.shape[:2]
        split = (count, self.heads, 3, width // self.heads, -1)
        qkv = self.qkv(self.norm(x).flatten(2)).reshape(split).transpose(-1, -2)
        found = functional.scaled_dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        found = found.transpose(-1, -2).reshape(count, width, -1)
        added: Tensor = self.out(found)
        return x + added.reshape(x.shape)


def _run(parts: nn.Module, x: Tensor, told: Tensor) -> Tensor:
    for part in parts.children():
        x = part(x, told)
    return x


def _zeroed(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
