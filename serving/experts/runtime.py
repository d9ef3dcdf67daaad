"""One port, two runtimes: torch (CPU, CUDA) and OpenVINO (CPU), picked at load by capability.

Every call runs in micro-batches of one fixed shape, so that a score depends neither on the batch
nor on the order. Nothing here loads torch where the machine has no GPU: a replica on OpenVINO runs
without.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.experts.errors import RuntimeUnavailable
from serving.experts.types import Floats, Image

# OpenVINO reports conversions to its maker: from a child process each, by the network. No machine
# of a plant may. Where the module is missing, OpenVINO uses its own silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "f32", "bf16", "fp16")
_GPU_DEVICES: Final = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""One of these is there where Linux has a GPU that torch might use."""
_CPU_INFO: Final = Path("/proc/cpuinfo")


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
        precision: ``auto`` is bf16 where the hardware is faster in it, else f32; ``fp16`` is for
            CUDA alone.
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
        device = "cuda" if _has_cuda() and runtime != "openvino" else "cpu"
    if device.startswith("cuda") and not _has_cuda():
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
        precision = "bf16" if _fast_bf16(runtime, device) else "f32"
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return Choice(runtime, precision, device, threads or cores, free)


def in_batches(
    run: Callable[[Image], dict[str, Floats]], batch: Image, size: int
) -> dict[str, Floats]:
    """The outputs of ``run`` on pieces of ``size`` images at most, one after the other."""
    parts = [run(batch[start : start + size]) for start in range(0, len(batch), size)]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]} if parts else {}


CHUNK = 16
"""Images whose outputs are held at once before they are joined."""


@cache
def openvino_core() -> Any:
    """OpenVINO's entry, one for the process."""
    import openvino as ov

    return ov.Core()


def compile_model(model: Any, precision: str, threads: int, streams: int | None = None) -> Any:
    """A model of OpenVINO's ready to run on the CPU.

    Args:
        model: ``openvino.Model``.
        precision: ``f32`` or ``bf16``.
        threads: of the whole graph.
        streams: requests that run at once, one by each thread unless said otherwise.
    """
    import openvino as ov

    options = {
        "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision == "bf16" else ov.Type.f32,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams or threads,
    }
    return openvino_core().compile_model(model, "CPU", options)


def fast_bf16() -> bool:
    """Whether OpenVINO is faster in bf16 than in f32 on this CPU: where that has tiles (AMX).

    AVX-512 alone multiplies bf16, too, but takes half as long again as in f32 (ADR 0266).
    """
    offered = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return offered and "amx_bf16" in _cpu_flags()


def _fast_bf16(runtime: str, device: str) -> bool:
    if device.startswith("cuda"):
        import torch

        return bool(torch.cuda.is_bf16_supported())
    return runtime == "openvino" and fast_bf16()


@cache
def _cpu_flags() -> frozenset[str]:
    """What Linux says that the CPU can do; nothing where there is no such file."""
    try:
        text = _CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def _has_cuda() -> bool:
    is_linux = sys.platform == "linux"
    if "torch" not in sys.modules and is_linux and not any(Path(d).exists() for d in _GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()
