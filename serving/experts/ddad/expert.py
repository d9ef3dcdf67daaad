"""The ``ddad`` expert: reconstruct, compare, smooth; the map's peak is the score."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.cuda import MICRO_BATCH, Program
from serving.experts.ddad.distance import (
    Extractor,
    combine,
    feature_distance,
    pixel_distance,
    sigma_for,
    smooth,
    to_signed,
)
from serving.experts.ddad.options import DdadOptions
from serving.experts.ddad.reconstruct import make_noise, reconstruct
from serving.experts.ddad.schedule import Trajectory, alpha_bars, make_trajectory
from serving.experts.ddad.unet import UNet
from serving.experts.errors import RuntimeUnavailable
from serving.experts.expert import answer, split_time
from serving.experts.mixed_precision import DTYPES, exact_f32
from serving.experts.model import TrainedModel
from serving.experts.precision import agrees
from serving.experts.runtime import choose, in_batches
from serving.experts.tensors import module_bytes
from serving.experts.types import Floats, Image, Scored


@dataclass(frozen=True)
class Weighing:
    """What turns two distances into a map and a score; constants of the artifact."""

    guidance: float
    """The weight w of the guidance."""
    pixel_weight: float
    """The weight v of the pixel distance."""
    pixel_scale: float
    """Mean over training normals of the pixel distance's peak, the divisor P."""
    feature_scale: float
    """Mean over training normals of the feature distance's peak, the divisor F."""
    cut: float
    """Value of the map at which the region is outlined."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DdadModel(TrainedModel):
    """All that an artifact of ``ddad`` holds."""

    options: DdadOptions
    """The options of the training, with every ``auto`` resolved."""
    noise_seed: int
    unet: UNet
    extractor: Extractor
    adapted: bool
    """Whether the extractor was fine-tuned, so that its weights are part of the artifact."""
    weighing: Weighing


@dataclass(frozen=True)
class Running:
    """Where and how a model runs."""

    device: str
    precision: str
    micro_batch: int
    """Images per pass: one shape, padded, so that a score does not depend on the batch."""


def choose_running(
    model: DdadModel,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> Running:
    """Resolve ``auto``: CUDA when there is one; bf16 there if training measured it to be harmless.

    Raises:
        RuntimeUnavailable: what was asked for by name is not there.
    """
    if runtime not in ("auto", "torch"):
        raise RuntimeUnavailable(f"runtime {runtime!r} does not run DDAD; use 'torch'")
    found = choose("torch", "f32" if precision == "auto" else precision, device, threads)
    cuda = found.device.startswith("cuda")
    if not cuda:
        torch.set_num_threads(found.threads)
    if precision == "auto":
        precision = "bf16" if cuda and agrees(model.trained.get("precision")) else "f32"
    return Running(found.device, precision, MICRO_BATCH if cuda else 1)


class Distances:
    """The network part of a model on a device: images to their two distances."""

    def __init__(
        self,
        unet: UNet,
        extractor: Extractor,
        options: DdadOptions,
        shape: tuple[int, int],
        noise_seed: int,
        running: Running,
    ) -> None:
        exact_f32()
        self.running, self.shape = running, shape
        self.unet = unet.to(running.device).eval()
        self.extractor = extractor.to(running.device).eval()
        self.trajectory = trajectory_of(options)
        noise = make_noise(self.trajectory, options.draws, *shape, noise_seed)
        self.noise = noise.to(running.device)

    def reconstruct(self, batch: Image, guidance: float) -> Tensor:
        """uint8 (N, H, W, 3) to signed (draws, N, 3, H, W) on the device."""
        with torch.inference_mode(), self._autocast():
            return _paint(self.unet, self._signed(batch), self.trajectory, guidance, self.noise)

    def compare(self, batch: Image, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel and feature distance, means over draws, (N, H, W) each."""
        with torch.inference_mode(), self._autocast():
            return _apart(self.extractor, self._signed(batch), drawn, self.shape)

    def _signed(self, batch: Image) -> Tensor:
        return to_signed(torch.from_numpy(batch).to(self.running.device))

    def __call__(self, batch: Image, guidance: float) -> tuple[Tensor, Tensor]:
        """Both distances of any number of images, in padded micro-batches; on the CPU."""
        parts = []
        for chunk, count in in_chunks(batch, self.running.micro_batch):
            pair = self.compare(chunk, self.reconstruct(chunk, guidance))
            parts.append([values[:count].cpu() for values in pair])
        pixel, feature = (torch.cat(side) for side in zip(*parts, strict=True))
        return pixel, feature

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES.get(self.running.precision)
        kind = self.running.device.split(":")[0]
        return torch.autocast(kind, dtype, enabled=dtype is not None)


class Comparison(nn.Module):
    """``Distances`` at one guidance as a module: uint8 (N, H, W, 3) to ``pixel`` and ``feature``.

    Everything that ``Distances`` does on the device and nothing that asks the host: a CUDA graph
    may record it.
    """

    noise: Tensor

    def __init__(self, distances: Distances, guidance: float) -> None:
        super().__init__()
        self.unet, self.extractor = distances.unet, distances.extractor
        self.trajectory, self.shape = distances.trajectory, distances.shape
        self.guidance = guidance
        self.register_buffer("noise", distances.noise)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Means over draws, (N, H, W) each."""
        target = to_signed(batch)
        drawn = _paint(self.unet, target, self.trajectory, self.guidance, self.noise)
        pixel, feature = _apart(self.extractor, target, drawn, self.shape)
        return {"pixel": pixel, "feature": feature}


class DdadExpert:
    """A model on a device. Implements ``serving.experts.expert.Expert``."""

    name = "ddad"

    def __init__(self, model: DdadModel, running: Running, version: str = "") -> None:
        self.model, self.running, self.version = model, running, version
        shape = model.preprocessing.shape
        self._distances = Distances(
            model.unet, model.extractor, model.options, shape, model.noise_seed, running
        )
        self._program: Program | None = None
        if running.device.startswith("cuda"):
            comparison = Comparison(self._distances, model.weighing.guidance)
            self._program = Program(comparison, *shape, running.device, (running.precision,))

    @property
    def plan(self) -> str:
        """How it runs on CUDA, as measured when it was loaded; empty on a CPU."""
        return str(self._program.plan) if self._program else ""

    @property
    def product(self) -> str:
        """The product it was trained for."""
        return self.model.product

    @property
    def bit_depth(self) -> int | None:
        """Bits of the camera's pixels in 16-bit files, as in training."""
        return self.model.preprocessing.bits

    @property
    def memory_bytes(self) -> int:
        """What its networks take, bytes; none is shared."""
        return module_bytes([self.model.unet, self.model.extractor])

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        """One answer per image, in order; see ``Expert.score``."""
        if not images:
            return []
        started = time.perf_counter()
        batch = np.stack([self.model.preprocessing(image) for image in images])
        prepared = time.perf_counter()
        pixel, feature = self._compare(batch)
        inferred = time.perf_counter()
        values = make_maps(pixel, feature, self.model.weighing, self.model.options.smoothing)
        lifted = values / np.float32(self.model.weighing.cut) if maps else None
        peaks = values.max(axis=(1, 2))
        timings = split_time(started, prepared, inferred, len(images))
        return answer(images, peaks, lifted, self.model.calibration, timings)

    def _compare(self, batch: Image) -> tuple[Tensor, Tensor]:
        if self._program is None:
            return self._distances(batch, self.model.weighing.guidance)
        found = in_batches(self._program, batch, self._program.micro_batch)
        return torch.from_numpy(found["pixel"]), torch.from_numpy(found["feature"])


def make_maps(pixel: Tensor, feature: Tensor, weighing: Weighing, smoothing: float) -> Floats:
    """The smoothed sum of the distances, float32 (N, H, W); its peak is the image's score."""
    fused = combine(
        pixel, feature, weighing.pixel_scale, weighing.feature_scale, weighing.pixel_weight
    )
    found = smooth(fused, sigma_for(smoothing, *fused.shape[-2:]))
    return np.asarray(found.numpy(), dtype=np.float32)


def trajectory_of(options: DdadOptions) -> Trajectory:
    """The steps back that the options ask for."""
    bars = alpha_bars(options.diffusion_steps, options.beta_start, options.beta_end)
    return make_trajectory(bars, options.start, options.skip, options.eta, options.trajectory)


def in_chunks(batch: Image, size: int) -> list[tuple[Image, int]]:
    """Pieces of exactly ``size`` images, the last padded with its first, and how many count."""
    found = []
    for start in range(0, len(batch), size):
        chunk = batch[start : start + size]
        missing = size - len(chunk)
        padded = np.concatenate([chunk, np.repeat(chunk[:1], missing, axis=0)])
        found.append((padded, len(chunk)))
    return found


def _paint(
    unet: UNet, target: Tensor, trajectory: Trajectory, guidance: float, noise: Tensor
) -> Tensor:
    """Every draw's reconstruction of ``target`` (N, 3, H, W): (draws, N, 3, H, W)."""
    drawn = [reconstruct(unet, target, target, trajectory, guidance, fresh) for fresh in noise]
    return torch.stack(drawn)


def _apart(
    extractor: Extractor, target: Tensor, drawn: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Pixel and feature distance of reconstructions, means over draws, (N, H, W) each."""
    theirs = extractor(target)
    pixel = [pixel_distance(made, target) for made in drawn]
    feature = [feature_distance(extractor(made), theirs, *shape) for made in drawn]
    return torch.stack(pixel).mean(dim=0), torch.stack(feature).mean(dim=0)
