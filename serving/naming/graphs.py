"""The classifiers' backbone as graphs that run without torch.

``serving.experts.translating`` translates them, in a child where this process has no torch. Where
OpenVINO is missing the backbone runs in torch.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from serving.experts.forms import BackboneGraph
from serving.experts.runtime import compile_model, fast_bf16
from serving.experts.translating import translate
from serving.experts.types import Floats, Image

Layers = Mapping[int, tuple[str, ...]]
"""Names of the feature maps by the side of the square input, pixels."""
Graph: TypeAlias = Callable[[Image], Mapping[str, Floats]]
"""uint8 (N, side, side, 3) to float32 (N, channels, h, w) by layer."""


def load_graphs(name: str, layers: Layers, threads: int) -> dict[int, Graph]:
    """The backbone's graph for each side; the same answers whatever is asked beside them.

    Raises:
        RuntimeUnavailable: the backbone's weights are not installed, or it cannot be translated.
    """
    if importlib.util.find_spec("openvino") is None:
        return _in_torch(name, layers, threads)
    return {
        side: _OpenVinoGraph(translate(BackboneGraph(name, wanted, side, side)), threads)
        for side, wanted in layers.items()
    }


class _OpenVinoGraph:
    """One graph, compiled: an image at a time, so that an answer does not depend on its company."""

    def __init__(self, model: Any, threads: int) -> None:
        precision = "bf16" if fast_bf16() else "f32"
        compiled = compile_model(model, precision, threads, streams=1)
        self._names = [output.get_any_name() for output in compiled.outputs]
        self._request = compiled.create_infer_request()

    def __call__(self, batch: Image) -> dict[str, Floats]:
        found: dict[str, list[Floats]] = {name: [] for name in self._names}
        for image in batch:
            self._request.infer([image[None]])
            for i, name in enumerate(self._names):
                found[name].append(np.array(self._request.get_output_tensor(i).data, np.float32))
        return {name: np.concatenate(values) for name, values in found.items()}


def _in_torch(name: str, layers: Layers, threads: int) -> dict[int, Graph]:
    from serving.experts.backbone import load_backbone
    from serving.experts.runtime import choose

    choice = choose(device="cpu", threads=threads)
    return {
        side: load_backbone(name, choice, wanted, (side, side)) for side, wanted in layers.items()
    }
