"""torch modules made ready to run: eagerly, as a program of CUDA's, or by OpenVINO.

A module maps uint8 batches (N, H, W, 3) to named float outputs.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.cuda import Program
from serving.experts.mixed_precision import run_mixed
from serving.experts.runtime import CHUNK, Choice, Runner, compile_model
from serving.experts.types import Floats, Image


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


def convert(module: nn.Module, example: Sequence[Tensor]) -> Any:
    """A module of positional tensors as a model of OpenVINO's, for the shapes of ``example``.

    Args:
        module: maps tensors to one, to several, or to several by name.
        example: inputs that it is traced with.
    """
    import openvino as ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ov.convert_model(
            module, example_input=tuple(example), input=[list(e.shape) for e in example]
        )


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
        model = convert(whole, [pixels])
        self._request: Any = None
        if threads == 1 or precision == "bf16":
            single = compile_model(model, precision, threads, streams=1)
            self._request = single.create_infer_request()
        self._queue: Any = None
        if threads > 1:
            many = compile_model(model, precision, threads)
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
