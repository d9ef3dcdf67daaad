"""CUDA: a module for one shape, run the way that measured fastest when it was loaded.

Candidates are every combination of precision, memory layout and eager or captured as a CUDA graph.
Each is run on the same pictures, checked against eager f32 and timed; whatever fails or disagrees
is out, and eager f32 is always left. ``torch.compile`` is no candidate: its tens of seconds per
replica and its need for a C compiler do not fit a hot swap.
"""

import copy
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.errors import RuntimeUnavailable
from serving.experts.mixed_precision import DTYPES, exact_f32, run_mixed
from serving.experts.types import Floats, Image

MICRO_BATCH = 8
"""Images per pass on CUDA: one shape, so that a score does not depend on the batch."""
LEAST_GAIN = 0.05
"""Share of time that a more elaborate plan must save to be preferred."""
TOLERANCES = {"f32": 1e-3, "fp16": 0.05, "bf16": 0.2}
"""Largest ``|out - reference| / |reference|`` of an output. It finds broken kernels; how much
precision an artifact bears is measured on its scores, when it is trained."""
_BUDGET_MS = 150.0
_FEWEST, _MOST, _WARM_UP = 5, 50, 3

Run = Callable[[Tensor], Tensor]
"""uint8 (N, H, W, 3), on the host or the device, to one float32 row per image."""


@dataclass(frozen=True)
class Plan:
    """One way to run a module."""

    precision: str
    channels_last: bool
    graph: bool

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        return f"{self.precision} {layout} {'graph' if self.graph else 'eager'}"


@dataclass(frozen=True)
class Attempt:
    """What trying a plan gave."""

    plan: Plan
    latency_ms: float
    """Median of one micro-batch, pictures on the host to results on the device."""
    error: float
    """Relative to eager f32, of the worst output."""
    refused: str = ""
    """Why the plan is out; empty when it is not."""


def plans(precisions: Sequence[str], graphs: bool) -> list[Plan]:
    """Every plan, the plainest first.

    Args:
        precisions: allowed, the preferred first.
        graphs: whether the device captures graphs.
    """
    return [
        Plan(precision, last, graph)
        for precision, graph, last in product(
            precisions, (False, True) if graphs else (False,), (False, True)
        )
    ]


def fastest(attempts: Sequence[Attempt]) -> Attempt:
    """The fastest that is not refused; a later one must save ``LEAST_GAIN`` of the time.

    Raises:
        RuntimeUnavailable: all are refused; says why.
    """
    left = [t for t in attempts if not t.refused]
    if not left:
        raise RuntimeUnavailable(f"no way to run this expert here: {attempts[0].refused}")
    best = left[0]
    for attempt in left[1:]:
        if attempt.latency_ms < (1 - LEAST_GAIN) * best.latency_ms:
            best = attempt
    return best


class Program:
    """A module on a device, for micro-batches of one shape, by the fastest plan.

    Works on a CPU too, without graphs. Calls from several threads take turns.
    """

    plan: Plan
    attempts: tuple[Attempt, ...]

    def __init__(
        self,
        module: nn.Module,
        height: int,
        width: int,
        device: str,
        precisions: Sequence[str] = ("f32",),
        micro_batch: int = MICRO_BATCH,
    ) -> None:
        """Try every plan; takes a second or two for a small network.

        Args:
            module: maps uint8 (N, H, W, 3) to named tensors; copied, never moved or changed.
            precisions: allowed ones, ``f32``, ``bf16``, ``fp16``, the preferred first.

        Raises:
            RuntimeUnavailable: the module does not run on the device.
        """
        exact_f32()
        self.micro_batch = micro_batch
        self._device = torch.device(device)
        self._lock = threading.Lock()
        self._pixels = self._on_host((micro_batch, height, width, 3), torch.uint8)
        self._pixels.numpy()[:] = _pictures(micro_batch, height, width)
        with torch.inference_mode():
            reference, self._outputs = self._reference(module)
            self._found = self._on_host(tuple(reference.shape), torch.float32)
            self._run, self.plan, self.attempts = self._choose(module, precisions, reference)

    def __call__(self, images: Image) -> dict[str, Floats]:
        """uint8 (N, H, W, 3), N at most ``micro_batch``, to float32 arrays; padded with the first.

        Raises:
            ValueError: more images than a micro-batch holds, or none.
        """
        count = len(images)
        if not 0 < count <= self.micro_batch:
            raise ValueError(f"{count} images; a micro-batch is 1 to {self.micro_batch}")
        with self._lock, torch.inference_mode():
            self._pixels.numpy()[:count] = images
            self._pixels.numpy()[count:] = images[:1]
            self._found.copy_(self._run(self._pixels), non_blocking=True)
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            return self._outputs.split(self._found[:count])

    def _reference(self, module: nn.Module) -> tuple[Tensor, "_Outputs"]:
        eager = _Eager(module, Plan("f32", False, False), self._device)
        try:
            found = eager.named(self._pixels)
        except RuntimeError as error:
            raise RuntimeUnavailable(f"device {str(self._device)!r}: {_line(error)}") from None
        outputs = _Outputs.of(found)
        return outputs.join(found), outputs

    def _choose(
        self, module: nn.Module, precisions: Sequence[str], reference: Tensor
    ) -> tuple[Run, Plan, tuple[Attempt, ...]]:
        """Keeps one candidate beside the best so far: graphs hold memory."""
        attempts: list[Attempt] = []
        kept: tuple[Plan, Run] | None = None
        for plan in plans(precisions, self._device.type == "cuda"):
            run, attempt = self._try(module, plan, reference)
            attempts.append(attempt)
            if run is not None and not attempt.refused and fastest(attempts).plan == plan:
                kept = plan, run
        fastest(attempts)
        assert kept is not None, "fastest raises where every plan is refused"
        return kept[1], kept[0], tuple(attempts)

    def _try(self, module: nn.Module, plan: Plan, reference: Tensor) -> tuple[Run | None, Attempt]:
        try:
            eager = _Eager(module, plan, self._device)
            run: Run = lambda pixels: self._outputs.join(eager.named(pixels))  # noqa: E731
            if plan.graph:
                run = _Captured(run, self._pixels, self._device)
            error = self._outputs.error(run(self._pixels), reference)
            if not error <= TOLERANCES[plan.precision]:
                return None, Attempt(plan, float("nan"), error, f"{plan}: off by {error:.3g}")
            return run, Attempt(plan, self._latency_ms(run), error)
        except RuntimeError as problem:
            nan = float("nan")
            return None, Attempt(plan, nan, nan, f"{plan}: {_line(problem)}")

    def _latency_ms(self, run: Run) -> float:
        for _ in range(_WARM_UP):
            run(self._pixels)
        clock = _events if self._device.type == "cuda" else _wall
        spent: list[float] = []
        while len(spent) < _FEWEST or (sum(spent) < _BUDGET_MS and len(spent) < _MOST):
            spent.append(clock(lambda: run(self._pixels), self._device))
        return float(np.median(spent))

    def _on_host(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Pinned where that makes copies asynchronous."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._device.type == "cuda")


class _Eager:
    """A copy of a module on a device in a plan's layout and precision."""

    def __init__(self, module: nn.Module, plan: Plan, device: torch.device) -> None:
        own = copy.deepcopy(module).to(device).eval().requires_grad_(False)
        if plan.channels_last:
            own = own.to(memory_format=torch.channels_last)
        if plan.precision in DTYPES:
            _lower(own, DTYPES[plan.precision])
        self._module, self._plan, self._device = own, plan, device

    def named(self, pixels: Tensor) -> dict[str, Tensor]:
        """Outputs of uint8 (N, H, W, 3); photographs are channels-last as they come."""
        batch = pixels.to(self._device, non_blocking=True)
        if not self._plan.channels_last:
            batch = batch.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        return run_mixed(self._module, batch, self._plan.precision)


class _Captured:
    """A run recorded once and replayed: one launch instead of hundreds."""

    def __init__(self, run: Run, example: Tensor, device: torch.device) -> None:
        self._pixels = example.to(device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run(self._pixels)
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # Another thread may be scoring with the version in use: its allocations are no error.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._found = run(self._pixels)

    def __call__(self, pixels: Tensor) -> Tensor:
        self._pixels.copy_(pixels, non_blocking=True)
        self._graph.replay()
        return self._found


@dataclass(frozen=True)
class _Outputs:
    """Named outputs as one row per image: one copy from the device instead of many."""

    shapes: dict[str, tuple[int, ...]]
    """The shape of each output for one image, by name."""

    @classmethod
    def of(cls, found: dict[str, Tensor]) -> Self:
        return cls({k: tuple(v.shape[1:]) for k, v in found.items()})

    def join(self, found: dict[str, Tensor]) -> Tensor:
        return torch.cat([found[k].float().reshape(len(found[k]), -1) for k in self.shapes], dim=1)

    def parts(self, rows: Tensor) -> dict[str, Tensor]:
        """Views of the joined rows, (N, numbers of the output), by name."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        return dict(zip(self.shapes, torch.split(rows, sizes, dim=1), strict=True))

    def split(self, rows: Tensor) -> dict[str, Floats]:
        """Copies: the rows are written over by the next call."""
        return {
            name: part.numpy().reshape(-1, *self.shapes[name]).copy()
            for name, part in self.parts(rows).items()
        }

    def error(self, rows: Tensor, reference: Tensor) -> float:
        """Relative error of the worst output; NaN when one is not finite."""
        expected = self.parts(reference)
        errors = [
            (own - expected[name]).norm() / expected[name].norm().clamp_min(1e-12)
            for name, own in self.parts(rows).items()
        ]
        return float(torch.stack(errors).max())


def _lower(module: nn.Module, dtype: torch.dtype) -> None:
    """Weights that autocast would cast at every call are cast once."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            part.to(dtype)


def _pictures(count: int, height: int, width: int) -> Image:
    """Lit, grained surfaces: noise alone would be no picture, zeros would hide faults."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = 90 + 60 * x + 25 * np.sin(12 * y)
    grain = rng.normal(0, 8, (count, height, width)) + rng.normal(0, 10, (count, 1, 1))
    grey = np.clip(light + grain, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def _events(call: Callable[[], object], device: torch.device) -> float:
    with torch.cuda.device(device):
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end))


def _wall(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
