"""Training the denoising UNet: checkpoints, resume, the same weights for the same seed."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from serving.experts.ddad.distance import to_signed
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.schedule import alpha_bars
from serving.experts.ddad.unet import UNet
from serving.experts.errors import TrainingError
from serving.experts.mixed_precision import DTYPES
from serving.experts.types import Image

CHECKPOINT = "unet.pt"
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
"""What reading bytes that are no checkpoint raises."""
Epochs = Callable[[int, int], None]
"""Called with epochs done and epochs in all."""


def fit_unet(
    pixels: Image,
    options: DdadOptions,
    device: str,
    seed: int,
    checkpoints: Path | None = None,
    report: Epochs = lambda done, total: None,
) -> tuple[UNet, float]:
    """Train the UNet to see the noise in normals; continue from a checkpoint if one is there.

    Interrupted and resumed training ends in the weights of an uninterrupted one: order, times and
    noise of every step follow from the seed and the step alone.

    Args:
        pixels: uint8 (N, H, W, 3), normals.
        device: torch device.
        checkpoints: folder that checkpoints are written to and continued from; None: neither.

    Returns:
        The network in evaluation mode and the mean squared error of its last epoch, per element.

    Raises:
        TrainingError: training diverged, or the checkpoint is damaged or of another training.
    """
    options = resolved(options, device)
    epochs = options.epochs or 0
    with _random_at(device, seed, 0, 0):
        unet = UNet(SIZES[options.unet]).to(device)
    trainer = _Trainer(unet, options, device)
    identity = _identity(pixels, options, seed)
    file = checkpoints / CHECKPOINT if checkpoints else None
    done, loss = trainer.restore(file, identity) if file else (0, float("nan"))
    steps = max(1, len(pixels) // options.batch)
    report(min(done, epochs), epochs)
    for epoch in range(done, epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(pixels))
        losses = []
        for step in range(steps):
            rows = order[step * options.batch : (step + 1) * options.batch]
            with _random_at(device, seed, epoch + 1, step):
                losses.append(trainer.step(pixels[rows]))
        loss = float(torch.stack(losses).mean())
        if not np.isfinite(loss):
            raise TrainingError(
                f"training diverged in epoch {epoch + 1}: lower learning_rate or use precision f32"
            )
        if file and ((epoch + 1) % options.checkpoint_every == 0 or epoch + 1 == epochs):
            trainer.save(file, identity, epoch + 1, loss)
        report(epoch + 1, epochs)
    return unet.eval().requires_grad_(False), loss


class _Trainer:
    """One optimiser step, and everything that a checkpoint holds."""

    def __init__(self, unet: UNet, options: DdadOptions, device: str) -> None:
        self.unet, self.device = unet.train(), device
        self.optimizer = torch.optim.Adam(
            unet.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        bars = alpha_bars(options.diffusion_steps, options.beta_start, options.beta_end)
        self.bars = torch.from_numpy(bars[1:]).float().to(device)
        precision = options.precision
        self.dtype = DTYPES.get(precision)
        self.scaler = torch.amp.GradScaler(self.device.split(":")[0], enabled=precision == "fp16")

    def step(self, pixels: Image) -> Tensor:
        """Mean squared error per element of one batch, before the step; stays on the device."""
        clean = to_signed(torch.from_numpy(pixels).to(self.device))
        times = torch.randint(0, len(self.bars), (len(clean),), device=self.device)
        noise = torch.randn_like(clean)
        bar = self.bars[times].view(-1, 1, 1, 1)
        noised = bar.sqrt() * clean + (1 - bar).sqrt() * noise
        with torch.autocast(self.device.split(":")[0], self.dtype, enabled=self.dtype is not None):
            seen = self.unet(noised, times)
        loss = (noise - seen.float()).square().sum(dim=(1, 2, 3)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        per_element: Tensor = loss.detach() / clean[0].numel()
        return per_element

    def save(self, file: Path, identity: dict[str, object], epoch: int, loss: float) -> None:
        """Write a checkpoint; a kill leaves the old one or the new one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": json.dumps(identity, sort_keys=True),
            "epoch": epoch,
            "loss": loss,
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        draft = file.with_suffix(".new")
        torch.save(state, draft)
        os.replace(draft, file)

    def restore(self, file: Path, identity: dict[str, object]) -> tuple[int, float]:
        """Epochs done and the loss there; (0, nan) without a checkpoint."""
        if not file.is_file():
            return 0, float("nan")
        try:
            state = torch.load(file, map_location=self.device, weights_only=True)
            theirs = json.loads(state["identity"])
        except _DAMAGED as error:
            raise TrainingError(
                f"{file}: damaged checkpoint ({type(error).__name__}); delete it to start again"
            ) from None
        other = [k for k in identity if theirs.get(k) != identity[k]]
        if other:
            raise TrainingError(
                f"{file}: of another training ({', '.join(sorted(other))} differ); "
                "give another folder or delete it"
            )
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        return int(state["epoch"]), float(state["loss"])


def resolved(options: DdadOptions, device: str) -> DdadOptions:
    """Every ``auto`` decided for a torch device, so that the artifact says what was done."""
    cuda = device.startswith("cuda")
    size, precision = options.unet, options.precision
    if size == "auto":
        size = "published" if cuda else "small"
    if precision == "auto":
        precision = "bf16" if cuda and torch.cuda.is_bf16_supported() else "f32"
    epochs = options.epochs or (200 if size == "small" else 2000)
    return replace(options, unet=size, epochs=epochs, precision=precision)


def _identity(pixels: Image, options: DdadOptions, seed: int) -> dict[str, object]:
    """What must agree for a checkpoint to be continued; more epochs may be asked for."""
    names = ("batch", "learning_rate", "weight_decay", "diffusion_steps", "beta_start", "beta_end")
    chosen = {name: getattr(options, name) for name in names}
    size = SIZES[options.unet]
    lists = {"multipliers": list(size.multipliers), "attention": list(size.attention)}
    images = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    return {**chosen, "unet": asdict(size) | lists, "seed": seed, "images": images}


@contextmanager
def _random_at(device: str, seed: int, epoch: int, step: int) -> Iterator[None]:
    """Torch's random numbers as a function of seed, epoch and step; the caller's are put back."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    words = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False),
    ):
        torch.manual_seed(int(words[0]))
        yield
