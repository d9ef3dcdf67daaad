"""torch's side of ``serving.experts.translating``: modules traced into OpenVINO's models.

``python -m serving.experts.tracing`` is the child that does it for processes without torch.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.backbone import shared_network
from serving.experts.errors import RuntimeUnavailable
from serving.experts.forms import BackboneGraph, HeadForm, HeadsGraph, restored
from serving.experts.graph import build_head
from serving.experts.head_state import HeadState
from serving.experts.modules import convert


def trace(asked: BackboneGraph | HeadsGraph) -> Any:
    """The graph as a model of OpenVINO's.

    Raises:
        RuntimeUnavailable: unknown backbone or missing weights.
    """
    if isinstance(asked, BackboneGraph):
        pixels = torch.zeros((1, asked.height, asked.width, 3), dtype=torch.uint8)
        network: nn.Module = shared_network(asked.name, asked.layers)
        return convert(_ChannelsLast(network) if asked.channels_last else network, [pixels])
    heads = [build_head(_blank(form)) for form in asked.heads]
    module = _HeadsOfInputs(heads, [name for name, _ in asked.features], asked.buffers)
    example = [torch.zeros(shape) for _, shape in asked.features]
    example.append(torch.zeros(asked.pixels, dtype=torch.uint8))
    for at, name in asked.buffers:
        example.append(dict(heads[at].named_buffers())[name])
    return convert(module, example)


class _ChannelsLast(nn.Module):
    """Features as convolutions leave them and as heads compare cells: neither copies them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        found: Mapping[str, Tensor] = self.network(pixels)
        return {name: x.permute(0, 2, 3, 1) for name, x in found.items()}


class _HeadsOfInputs(nn.Module):
    """Heads whose buffers are inputs, after features and pixels."""

    def __init__(
        self, heads: Sequence[nn.Module], names: list[str], buffers: Sequence[tuple[int, str]]
    ) -> None:
        super().__init__()
        # not submodules: tracing would take their buffers for constants
        self.held = [list(heads)]
        self.names, self.buffers_given = names, buffers

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        (heads,), count = self.held, len(self.names)
        for (at, name), value in zip(self.buffers_given, given[count + 1 :], strict=True):
            path, _, leaf = name.rpartition(".")
            heads[at].get_submodule(path).register_buffer(leaf, value)
        channels_second = (x.permute(0, 3, 1, 2) for x in given[:count])
        features: Mapping[str, Tensor] = dict(zip(self.names, channels_second, strict=True))
        return tuple(head(features, given[count]).float() for head in heads)


def _blank(form: HeadForm) -> HeadState:
    """A head of that form: what is in its arrays does not matter to its graph."""
    arrays = {name: np.zeros(shape, kind) for name, kind, shape in form.arrays}
    return HeadState(form.kind, dict(form.config), arrays)


def _serve() -> None:
    """The child: a line for each graph, and an answer that is empty when it is written."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what torch may print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(_written(json.loads(line))) + "\n")
        answers.flush()


def _written(words: Mapping[str, Any]) -> str:
    import openvino as ov

    try:
        ov.save_model(trace(restored(words)), words["file"], compress_to_fp16=False)
    except Exception as error:  # noqa: BLE001 - the parent is told, and raises it
        said = str(error).strip()[-512:]
        return said if isinstance(error, RuntimeUnavailable) else f"{type(error).__name__}: {said}"
    return ""


if __name__ == "__main__":
    _serve()
