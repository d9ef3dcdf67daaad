"""One port, two runtimes: torch (CPU, CUDA) and OpenVINO (CPU), picked at load by capability.

A module maps uint8 batches (N, H, W, 3) to named float outputs. Every call runs in micro-batches
of one fixed shape, so that a score depends neither on the batch nor on the order.
"""

import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.cuda import Program
from serving.experts.errors import RuntimeUnavailable
from serving.experts.mixed_precision import run_mixed
from serving.experts.types import Floats, Image

# OpenVINO reports conversions to its maker: from a child process each, by the network. No machine
# of a plant may. Where the module is missing, OpenVINO uses its own silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "f32", "bf16", "fp16")


@dataclass(frozen=True)
class Choice:
    """The runtime in use."""

    runtime: str
    precision: str
    device: str
    threads: int
    f32_if_faster: bool = False
    """On CUDA, ``precision`` is what is allowed and f32 is used where it is no slower."""
    plan: str = ""
    """How the module runs on CUDA, as measured when it was loaded."""


@dataclass(frozen=True, eq=False)
class Runner:
    """A module made ready to run on this machine."""

    choice: Choice
    run: Callable[[Image], dict[str, Floats]]
    """The compiled module, on at most ``size`` images."""
    size: int

    def __call__(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3), any N, to float32 arrays whose first axis is N."""
        return in_batches(self.run, batch, self.size)


def choose(
    runtime: str = "auto", precision: str = "auto", device: str = "auto", threads: int | None = None
) -> Choice:
    """Resolve ``auto``: CUDA when there is one, else OpenVINO when installed, else torch.

    Args:
        precision: ``auto`` is bf16 where the hardware multiplies it natively, else f32; ``fp16``
            is for CUDA alone.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None is every core this process may use.

    Raises:
        RuntimeUnavailable: what was asked for by name is not there.
    """
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"runtime {runtime!r} is not among {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise RuntimeUnavailable(f"precision {precision!r} is not among {', '.join(PRECISIONS)}")
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", device) is None:
        raise RuntimeUnavailable(f"device {device!r} is not among auto, cpu, cuda")
    if threads is not None and threads < 1:
        raise RuntimeUnavailable(f"threads {threads} is below 1")
    if runtime == "openvino" and device not in ("auto", "cpu"):
        raise RuntimeUnavailable(f"runtime 'openvino' runs on 'cpu', not on {device!r}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and runtime != "openvino" else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeUnavailable(
            "device 'cuda' was asked for and torch sees none; use device 'cpu'"
        )
    if runtime == "auto":
        found = importlib.util.find_spec("openvino") is not None
        runtime = "openvino" if device == "cpu" and found else "torch"
    if precision == "fp16" and not device.startswith("cuda"):
        raise RuntimeUnavailable("precision 'fp16' needs a CUDA device; use 'f32' or 'bf16'")
    free = precision == "auto"
    if free:
        precision = "bf16" if _native_bf16(runtime, device) else "f32"
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return Choice(runtime, precision, device, threads or cores, free)


def make_runner(module: nn.Module, height: int, width: int, choice: Choice) -> Runner:
    """Compile ``module`` for images of (height, width) on the runtime chosen.

    Args:
        module: maps uint8 (N, H, W, 3) to named tensors; a ``MixedPrecision`` or any such module.
    """
    module = module.eval().requires_grad_(False)
    if choice.runtime == "openvino":
        return Runner(choice, _OpenVinoModule(module, height, width, choice), CHUNK)
    if choice.device.startswith("cuda"):
        wanted = ("f32", choice.precision) if choice.f32_if_faster else (choice.precision,)
        precisions = tuple(dict.fromkeys(wanted))
        program = Program(module, height, width, choice.device, precisions)
        measured = replace(choice, precision=program.plan.precision, plan=str(program.plan))
        return Runner(measured, program, program.micro_batch)
    torch.set_num_threads(choice.threads)
    # One image at a time: on one thread 29 ms an image by ones and 27 by fours were measured, but a
    # lone image, as a line below its limit sends them, costs 29 instead of 121.
    return Runner(choice, partial(_run_eagerly, module, choice.precision), 1)


def in_batches(
    run: Callable[[Image], dict[str, Floats]], batch: Image, size: int
) -> dict[str, Floats]:
    """The outputs of ``run`` on pieces of ``size`` images at most, one after the other."""
    parts = [run(batch[start : start + size]) for start in range(0, len(batch), size)]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]} if parts else {}


def _run_eagerly(module: nn.Module, precision: str, images: Image) -> dict[str, Floats]:
    with torch.inference_mode():
        found = run_mixed(module, torch.from_numpy(images), precision)
    return {k: v.float().numpy() for k, v in found.items()}


class _OpenVinoModule:
    """A module compiled by OpenVINO: one image per request, requests in parallel."""

    def __init__(self, module: nn.Module, height: int, width: int, choice: Choice) -> None:
        import openvino as ov

        pixels = torch.zeros((1, height, width, 3), dtype=torch.uint8)
        with torch.inference_mode():
            names = list(module(pixels))
        # The queue's callback must not hold this object: Python does not see that circle, which
        # goes through OpenVINO, and would never free it.
        self._collect = partial(_collect, tuple(names))
        whole, (precision, threads) = _Positional(module, names), (choice.precision, choice.threads)
        # One graph for singles and batches alike in f32: another number of threads adds in another
        # order, and a score must not depend on its batch.
        self._request: Any = None
        if threads == 1 or precision == "bf16":
            single = compile_graph(whole, [pixels], precision, threads, streams=1)
            self._request = single.create_infer_request()
        self._queue: Any = None
        if threads > 1:
            many = compile_graph(whole, [pixels], precision, threads)
            self._queue = ov.AsyncInferQueue(many, threads)
            self._queue.set_callback(self._collect)

    def __call__(self, chunk: Image) -> dict[str, Floats]:
        slots: list[dict[str, Floats]] = [{} for _ in chunk]
        if self._queue is None or (len(chunk) == 1 and self._request is not None):
            for image, slot in zip(chunk, slots, strict=True):
                self._request.infer([image[None]])
                self._collect(self._request, slot)
        else:
            for image, slot in zip(chunk, slots, strict=True):
                self._queue.start_async([image[None]], slot)
            self._queue.wait_all()
        return {name: np.concatenate([s[name] for s in slots]) for name in slots[0]}


CHUNK = 16
"""Images whose outputs are held at once before they are joined."""


def compile_graph(
    module: nn.Module,
    example: Sequence[Tensor],
    precision: str,
    threads: int,
    streams: int | None = None,
) -> Any:
    """A module of positional tensors compiled by OpenVINO for the shapes of ``example``.

    Args:
        module: maps tensors to one or several.
        example: inputs that it is traced with.
        precision: ``f32`` or ``bf16``.
        threads: of the whole graph.
        streams: requests that run at once, one by each thread unless said otherwise.
    """
    import openvino as ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ov.convert_model(
            module, example_input=tuple(example), input=[list(e.shape) for e in example]
        )
    options = {
        "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision == "bf16" else ov.Type.f32,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams or threads,
    }
    return ov.Core().compile_model(model, "CPU", options)


def _collect(names: Sequence[str], request: Any, slot: dict[str, Floats]) -> None:
    for i, name in enumerate(names):
        slot[name] = np.array(request.get_output_tensor(i).data, dtype=np.float32)


class _Positional(nn.Module):
    """Tracing wants positional outputs."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        found: Mapping[str, Tensor] = self.module(pixels)
        return tuple(found[name].float() for name in self.names)


def _native_bf16(runtime: str, device: str) -> bool:
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    if runtime == "openvino":
        import openvino as ov

        return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return False
