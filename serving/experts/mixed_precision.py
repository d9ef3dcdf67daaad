"""A network in a reduced precision in front of a judge that is always exact, as runtimes run it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Reduced precisions by name."""


class MixedPrecision(nn.Module):
    """A module of two parts: features in the precision chosen, their judgement always in f32.

    Distances and Mahalanobis forms cancel digits that bf16 does not have; the backbone's
    convolutions, where the time goes, do not.
    """

    def network_features(self, batch: Tensor) -> dict[str, Tensor]:
        """uint8 (N, H, W, 3) to features by layer."""
        raise NotImplementedError

    def judge(self, features: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        """Features and pixels to named tensors whose first axis is N."""
        raise NotImplementedError

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Both parts in one precision."""
        return self.judge(self.network_features(batch), batch)


def exact_f32() -> None:
    """Convolutions in f32 on CUDA keep all of f32, not the ten bits of TF32; for the process.

    Thresholds are calibrated in f32, often on a CPU.
    """
    torch.backends.cudnn.allow_tf32 = False


def run_mixed(module: nn.Module, batch: Tensor, precision: str) -> dict[str, Tensor]:
    """Run a module from a uint8 batch to named tensors under autocast, a judge apart in f32.

    Args:
        precision: ``f32`` or one of ``DTYPES``; casts are not cached, so that a CUDA graph may
            record the call.
    """
    low = torch.autocast(
        batch.device.type,
        DTYPES.get(precision, torch.bfloat16),
        enabled=precision in DTYPES,
        cache_enabled=False,
    )
    if isinstance(module, MixedPrecision):
        with low:
            features = module.network_features(batch)
        return module.judge({k: v.float() for k, v in features.items()}, batch)
    with low:
        return dict(module(batch))
