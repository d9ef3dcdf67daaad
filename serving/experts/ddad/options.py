"""The options of training a DDAD expert: every tunable with its default, unit and range."""

import math
from dataclasses import dataclass
from typing import Final

from serving.experts.errors import TrainingError, check_range

KIND: Final = "ddad"
"""The expert's kind in artifacts."""


@dataclass(frozen=True)
class UNetSize:
    """The shape of a denoising UNet."""

    base: int
    """Channels of the first level."""
    multipliers: tuple[int, ...]
    """Channels of each level in units of ``base``; each level halves the resolution."""
    blocks: int
    """Residual blocks per level on the way down; one more on the way up."""
    attention: tuple[int, ...]
    """Strides (pixels of the input per cell) at which self-attention is used."""
    heads: int
    groups: int
    """Groups of the group normalisation."""
    dropout: float = 0.0

    @property
    def stride(self) -> int:
        """Pixels of the input per cell of the coarsest level."""
        return int(2 ** (len(self.multipliers) - 1))


SIZES = {
    "published": UNetSize(64, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), 4, 32),
    "published_s": UNetSize(32, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), 2, 32, 0.3),
    "small": UNetSize(16, (1, 1, 2, 2), 1, (8,), 2, 8),
}
"""``published`` and ``published_s`` are the paper's DDAD and DDAD-S; ``small`` suits a CPU."""
_ALLOWED = {
    "unet": ("auto", *SIZES),
    "trajectory": ("paper", "released"),
    "precision": ("auto", "f32", "bf16", "fp16"),
}


@dataclass(frozen=True)
class DdadOptions:
    """Options of DDAD. The defaults are the published recipe for MVTec AD."""

    unet: str = "auto"
    """``published``, ``published_s``, ``small``; ``auto``: published on CUDA, small on a CPU."""
    epochs: int | None = None
    """Passes over the normals; None: 2000 for the published sizes, 200 for the small one."""
    batch: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    """L2 term of Adam."""
    diffusion_steps: int = 1000
    """T, steps of the forward process."""
    beta_start: float = 1e-4
    beta_end: float = 0.02
    start: int = 250
    """T', the step that the image is noised to, 1..T."""
    skip: int = 25
    """Steps of the forward process per denoising step."""
    trajectory: str = "paper"
    """``paper``: noise and first step at T'; ``released``: as the authors' code, whose first step
    is told a time one skip lower."""
    eta: float = 1.0
    """0: deterministic (DDIM); 1: as much fresh noise as DDPM."""
    guidance: tuple[float, ...] = (0.0, 2.0, 4.0, 8.0)
    """Candidates for w; training chooses on synthetic anomalies."""
    pixel_weight: tuple[float, ...] = (1.0, 7.0)
    """Candidates for v, the weight of the pixel distance beside the feature distance."""
    draws: int = 1
    """Reconstructions per image, each from other noise; their distances are averaged."""
    smoothing: float = 4.0
    """Deviation of the Gaussian over the map, pixels of a 256 pixel image; scales with it."""
    adapt_epochs: int = 4
    """Passes of the feature extractor's fine-tuning at most; the best on synthetics is kept."""
    adapt_batch: int = 16
    adapt_learning_rate: float = 1e-4
    adapt_guidance: float = 3.0
    adapt_keep: float = 0.1
    """Weight of staying near the pretrained features (lambda)."""
    held_out: float = 0.3
    """Share of the groups that only the threshold is calibrated on."""
    trial: int = 64
    """Synthetic anomalies, plain and exposure-changed normals (each) that choices are made on."""
    checkpoint_every: int = 10
    """Epochs between checkpoints."""
    precision: str = "auto"
    """Precision of training, ``f32``, ``bf16`` or ``fp16``; ``auto`` is bf16 where CUDA has it."""

    def __post_init__(self) -> None:
        """Raises ``TrainingError`` naming the option that is out of range."""
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                value = getattr(self, name)
                raise TrainingError(f"{name} {value!r} is not among {', '.join(allowed)}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise TrainingError(f"betas {self.beta_start}..{self.beta_end} do not rise in (0, 1)")
        if not 1 <= self.skip <= self.start < self.diffusion_steps:
            raise TrainingError(
                f"skip {self.skip}, start {self.start}, diffusion_steps {self.diffusion_steps}: "
                "must be 1 <= skip <= start < diffusion_steps"
            )
        for name, candidates in (("guidance", self.guidance), ("pixel_weight", self.pixel_weight)):
            if not candidates or min(candidates) < 0:
                raise TrainingError(f"{name} {candidates}: give values of at least 0")
        check_range(self, 0, 1, "eta")
        check_range(self, 0.05, 0.9, "held_out")
        check_range(self, 0, 64, "smoothing")
        check_range(self, 0, math.inf, "adapt_epochs")
        check_range(self, 1, math.inf, "batch", "draws", "checkpoint_every")
        check_range(self, 2, math.inf, "adapt_batch")
        check_range(self, 8, math.inf, "trial")
        if self.epochs is not None:
            check_range(self, 1, math.inf, "epochs")
