"""One port, two runtimes: torch (CPU, CUDA) and OpenVINO (CPU), picked at load by capability.

A module maps uint8 batches (N, H, W, 3) to named float outputs. Every call runs in micro-batches
of one fixed shape, so that a score depends neither on the batch nor on the order.
"""

import importlib.util
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.errors import RuntimeUnavailable
from serving.experts.types import Floats, Image

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "f32", "bf16")


class UInt8Module(Protocol):
    """What a runtime runs: uint8 (N, H, W, 3) to named tensors whose first axis is N."""

    def __call__(self, batch: Tensor) -> dict[str, Tensor]: ...


class Runner(Protocol):
    """A module made ready to run on this machine."""

    @property
    def choice(self) -> "Choice": ...
    def __call__(self, batch: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3), any N, to float32 arrays whose first axis is N."""
        ...


@dataclass(frozen=True)
class Choice:
    """The runtime in use."""

    runtime: str
    precision: str
    device: str
    threads: int


def choose(
    runtime: str = "auto", precision: str = "auto", device: str = "auto", threads: int | None = None
) -> Choice:
    """Resolve ``auto``: CUDA when there is one, else OpenVINO when installed, else torch.

    Args:
        precision: ``auto`` is bf16 where the hardware multiplies it natively, else f32.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None is every core this process may use.

    Raises:
        RuntimeUnavailable: what was asked for by name is not there.
    """
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"runtime {runtime!r} is not among {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise RuntimeUnavailable(f"precision {precision!r} is not among {', '.join(PRECISIONS)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and runtime != "openvino" else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeUnavailable(
            "device 'cuda' was asked for and torch sees none; use device 'cpu'"
        )
    if runtime == "auto":
        found = importlib.util.find_spec("openvino") is not None
        runtime = "openvino" if device == "cpu" and found else "torch"
    if runtime == "openvino" and device != "cpu":
        raise RuntimeUnavailable(f"runtime 'openvino' runs on 'cpu', not on {device!r}")
    if precision == "auto":
        precision = "bf16" if _native_bf16(runtime, device) else "f32"
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return Choice(runtime, precision, device, threads or cores)


def make_runner(module: nn.Module, height: int, width: int, choice: Choice) -> Runner:
    """Compile ``module`` for images of (height, width) on the runtime chosen."""
    module = module.eval().requires_grad_(False)
    if choice.runtime == "openvino":
        return OpenVinoRunner(module, height, width, choice)
    return TorchRunner(module, choice)


class TorchRunner:
    """Runs a module eagerly on CPU or CUDA in micro-batches of one shape."""

    def __init__(self, module: nn.Module, choice: Choice) -> None:
        self.choice = choice
        self._micro_batch = 8 if choice.device.startswith("cuda") else 4
        self._module = module.to(choice.device)
        if choice.device == "cpu":
            torch.set_num_threads(choice.threads)

    def __call__(self, batch: Image) -> dict[str, Floats]:
        parts: list[dict[str, Floats]] = []
        for start in range(0, len(batch), self._micro_batch):
            chunk = batch[start : start + self._micro_batch]
            parts.append(self._run(chunk))
        return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]} if parts else {}

    def _run(self, chunk: Image) -> dict[str, Floats]:
        missing = self._micro_batch - len(chunk)
        padded = (
            np.concatenate([chunk, np.repeat(chunk[:1], missing, axis=0)]) if missing else chunk
        )
        use_bf16 = self.choice.precision == "bf16"
        with (
            torch.inference_mode(),
            torch.autocast(self.choice.device.split(":")[0], torch.bfloat16, enabled=use_bf16),
        ):
            found = self._module(torch.from_numpy(padded).to(self.choice.device))
        return {k: v[: len(chunk)].float().cpu().numpy() for k, v in found.items()}


class OpenVinoRunner:
    """Runs a module compiled by OpenVINO: one image per request, requests in parallel."""

    def __init__(self, module: nn.Module, height: int, width: int, choice: Choice) -> None:
        self.choice = choice
        model, self._names = _convert(module, height, width)
        import openvino as ov

        core = ov.Core()
        precision = ov.Type.bf16 if choice.precision == "bf16" else ov.Type.f32
        common = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": choice.threads}
        self._single = core.compile_model(model, "CPU", {**common, "NUM_STREAMS": 1})
        self._many = core.compile_model(model, "CPU", {**common, "NUM_STREAMS": choice.threads})
        self._request = self._single.create_infer_request()
        self._queue = ov.AsyncInferQueue(self._many, choice.threads)
        self._queue.set_callback(self._collect)

    def __call__(self, batch: Image) -> dict[str, Floats]:
        slots: list[dict[str, Floats]] = [{} for _ in batch]
        if len(batch) == 1:
            self._request.infer([batch])
            self._collect(self._request, slots[0])
        else:
            for image, slot in zip(batch, slots, strict=True):
                self._queue.start_async([image[None]], slot)
            self._queue.wait_all()
        return (
            {name: np.concatenate([s[name] for s in slots]) for name in self._names}
            if slots
            else {}
        )

    def _collect(self, request: Any, slot: dict[str, Floats]) -> None:
        for i, name in enumerate(self._names):
            slot[name] = np.array(request.get_output_tensor(i).data, dtype=np.float32)


class _Tuple(nn.Module):
    """Tracing wants positional outputs."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        found: Mapping[str, Tensor] = self.module(batch)
        return tuple(found[name].float() for name in self.names)


def _convert(module: nn.Module, height: int, width: int) -> tuple[Any, list[str]]:
    import openvino as ov

    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        names = list(module(example))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ov.convert_model(
            _Tuple(module, names), example_input=example, input=[1, height, width, 3]
        )
    return model, names


def _native_bf16(runtime: str, device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if runtime == "openvino":
        import openvino as ov

        return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return False
