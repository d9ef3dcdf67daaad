"""The classifiers' backbone as graphs that run without torch.

A process that names anomalies needs torch only to translate the backbone for OpenVINO, and would
then hold half a gigabyte of it for nothing. So a child process translates, and leaves the graphs in
a folder; the process itself reads and compiles them. Where OpenVINO is missing, or the classifier
is to use threads of its own for torch, the backbone runs in torch as everywhere else.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from serving.experts.errors import RuntimeUnavailable
from serving.experts.types import Floats, Image

# OpenVINO reports to its maker, from a child process for each conversion: no machine here may.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Layers = Mapping[int, tuple[str, ...]]
"""Names of the feature maps by the side of the square input, pixels."""
Graph: TypeAlias = Callable[[Image], Mapping[str, Floats]]
"""uint8 (N, side, side, 3) to float32 (N, channels, h, w) by layer."""
TRANSLATED_S: Final = 300.0
"""Until the child has translated, seconds: about five of a whole core."""


def load_graphs(name: str, layers: Layers, threads: int) -> dict[int, Graph]:
    """The backbone's graph for each side; the same answers whatever is asked beside them.

    Raises:
        RuntimeUnavailable: the backbone's weights are not installed, or it cannot be translated.
    """
    if importlib.util.find_spec("openvino") is None:
        return _in_torch(name, layers, threads)
    with tempfile.TemporaryDirectory(prefix="andon-graphs-") as folder:
        if "torch" in sys.modules:
            translate(name, layers, Path(folder))
        else:
            _translate_beside(name, layers, Path(folder))
        return {side: _OpenVinoGraph(_file(Path(folder), side), threads) for side in layers}


def translate(name: str, layers: Layers, folder: Path) -> None:
    """Write the backbone's graphs, as OpenVINO reads them, into a folder. Loads torch.

    Raises:
        RuntimeUnavailable: the backbone's weights are not installed.
    """
    import warnings

    import openvino as ov
    import torch

    from serving.experts.backbone import Network

    for side, wanted in layers.items():
        try:
            network = Network(name, wanted).eval().requires_grad_(False)
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(f"backbone {name!r}: install {error.name}") from None
        pixels = torch.zeros((1, side, side, 3), dtype=torch.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ov.convert_model(network, example_input=pixels, input=[list(pixels.shape)])
        ov.save_model(model, _file(folder, side), compress_to_fp16=False)


class _OpenVinoGraph:
    """One graph, compiled: an image at a time, so that an answer does not depend on its company."""

    def __init__(self, file: Path, threads: int) -> None:
        import openvino as ov

        core = ov.Core()
        is_native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        options = {
            "INFERENCE_PRECISION_HINT": ov.Type.bf16 if is_native else ov.Type.f32,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_MMAP": False,  # the folder is gone before it is used
        }
        compiled = core.compile_model(core.read_model(file), "CPU", options)
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


def _translate_beside(name: str, layers: Layers, folder: Path) -> None:
    words = [f"{side}:{','.join(wanted)}" for side, wanted in layers.items()]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "serving.naming.graphs", name, str(folder), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=TRANSLATED_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeUnavailable(f"backbone {name!r} could not be translated: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise RuntimeUnavailable(f"backbone {name!r} could not be translated: {said[0][-512:]}")


def _file(folder: Path, side: int) -> Path:
    return folder / f"{side}.xml"


def _main(words: list[str]) -> None:
    name, folder, *wanted = words
    pairs = [word.split(":") for word in wanted]
    translate(name, {int(side): tuple(names.split(",")) for side, names in pairs}, Path(folder))


if __name__ == "__main__":
    _main(sys.argv[1:])
