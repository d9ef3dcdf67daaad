"""Training: normals in, a calibrated model out. No label and no defect is ever seen."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from serving.experts.backbone import DEFAULT_BACKBONE, DEFAULT_SIZE, load_backbone, preprocess
from serving.experts.calibration import Scores, calibrate
from serving.experts.composed import ComposedExpert, Model, fuse_scores
from serving.experts.errors import TrainingError
from serving.experts.heads.base import FitInput, Head
from serving.experts.heads.cells import CellBank
from serving.experts.heads.texture import Texture
from serving.experts.images import read_image
from serving.experts.runtime import choose
from serving.experts.types import Floats, Image

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, steps done and steps in all."""

FEWEST_IMAGES = 12
_KINDS: tuple[type[Head], ...] = (CellBank, Texture)


@dataclass(frozen=True)
class TrainOptions:
    """What training may be told."""

    expert: str = "patchcore"
    """``patchcore`` or ``ddad``."""
    false_alarm_rate: float = 0.01
    """Share of normal parts that may be called anomalous, (0, 0.5]."""
    backbone: str = DEFAULT_BACKBONE
    size: int = DEFAULT_SIZE
    """Side of the network's input, pixels, a multiple of 32."""
    folds: int = 4
    """Parts of the hold-out, at least 2."""
    seed: int = 0
    runtime: str = "auto"
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate <= 0.5:
            raise TrainingError(f"false_alarm_rate {self.false_alarm_rate} is not in (0, 0.5]")
        if self.size % 32 or not 64 <= self.size <= 1024:
            raise TrainingError(f"size {self.size} is not a multiple of 32 in 64..1024")
        if self.folds < 2:
            raise TrainingError(f"folds {self.folds} is below 2")


def train(
    product: str,
    images: Sequence[Path],
    options: TrainOptions | None = None,
    groups: Mapping[Path, str] | None = None,
    progress: Progress | None = None,
) -> ComposedExpert:
    """Train an expert on photographs of normal parts.

    Args:
        product: what the artifact is filed under.
        images: normal photographs, at least ``FEWEST_IMAGES``.
        groups: which photographs show the same part or capture; hold-out is by group.
        progress: told of every step.

    Raises:
        TrainingError: too few images or groups, or an option out of range.
        UndecodableImage: names the file.
    """
    options = options or TrainOptions()
    if options.expert != "patchcore":
        raise TrainingError(f"expert {options.expert!r} is not known; use 'patchcore'")
    if len(images) < FEWEST_IMAGES:
        raise TrainingError(
            f"{len(images)} images are too few; at least {FEWEST_IMAGES} are needed"
        )
    report = progress or _silent
    names = [groups[p] if groups and p in groups else str(p) for p in images]
    pixels, digest = _read(images, options.size, report)
    layers = tuple(sorted({layer for kind in _KINDS for layer in kind.layers}))
    given = _features(pixels, layers, options, report)
    scores, maps = _hold_out(given, _folds(names, options), report)
    references = {k: np.sort(v) for k, v in scores.items()}
    fused = fuse_scores(scores, references)
    report("fit", 0, 1)
    heads = {kind.kind: kind.fit(given) for kind in _KINDS}
    report("fit", 1, 1)
    model = Model(
        product,
        options.backbone,
        options.size,
        layers,
        heads,
        references,
        {k: (float(np.median(v)), float(np.quantile(v, 0.999))) for k, v in maps.items()},
        calibrate(fused, options.false_alarm_rate),
        {
            "images": len(images),
            "groups": len(set(names)),
            "data_sha256": digest,
            "options": asdict(options),
        },
    )
    return ComposedExpert(model, choose(options.runtime, "auto", options.device, options.threads))


def _read(images: Sequence[Path], size: int, report: Progress) -> tuple[Image, str]:
    digest = hashlib.sha256()
    rows = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i, path in enumerate(images):
        rows[i] = preprocess(read_image(path), size)
        digest.update(hashlib.sha256(rows[i].tobytes()).digest())
        report("read", i + 1, len(images))
    return rows, digest.hexdigest()


def _features(
    pixels: Image, layers: tuple[str, ...], options: TrainOptions, report: Progress
) -> FitInput:
    backbone = load_backbone(
        options.backbone,
        options.runtime,
        "f32",
        options.device,
        layers,
        options.size,
        options.threads,
    )
    parts: dict[str, list[Floats]] = {layer: [] for layer in layers}
    for start in range(0, len(pixels), 16):
        for layer, values in backbone.features(pixels[start : start + 16]).items():
            parts[layer].append(values)
        report("features", min(start + 16, len(pixels)), len(pixels))
    features = {k: torch.from_numpy(np.concatenate(v)) for k, v in parts.items()}
    return FitInput(features, torch.from_numpy(pixels), options.seed)


def _folds(names: Sequence[str], options: TrainOptions) -> list[np.ndarray]:
    """Rows of each fold; a group is never split."""
    unique = sorted(set(names))
    if len(unique) < options.folds:
        raise TrainingError(
            f"{len(unique)} groups cannot be held out in {options.folds} folds; "
            "give photographs of more parts"
        )
    order = np.random.default_rng(options.seed).permutation(len(unique))
    fold_of = {unique[g]: i % options.folds for i, g in enumerate(order)}
    assigned = np.array([fold_of[name] for name in names])
    return [np.flatnonzero(assigned == i) for i in range(options.folds)]


def _hold_out(
    given: FitInput, folds: list[np.ndarray], report: Progress
) -> tuple[dict[str, Scores], dict[str, Floats]]:
    """Every normal's score and map from heads that never saw its group."""
    total = sum(len(f) for f in folds)
    scores = {kind.kind: np.empty(total) for kind in _KINDS}
    maps: dict[str, list[Floats]] = {kind.kind: [] for kind in _KINDS}
    for i, rows in enumerate(folds):
        rest = torch.from_numpy(np.setdiff1d(np.arange(total), rows))
        fit_on, held = given.select(rest), given.select(torch.from_numpy(rows))
        for kind in _KINDS:
            head = kind.fit(fit_on)
            for start in range(0, len(rows), 16):
                part = held.select(torch.arange(start, min(start + 16, len(rows))))
                with torch.inference_mode():
                    score, values = head(part.features, part.pixels)
                scores[kind.kind][rows[start : start + 16]] = score.double().numpy()
                if values is not None:
                    maps[kind.kind].append(values.numpy())
        report("hold out", i + 1, len(folds))
    return scores, {k: np.concatenate(v) for k, v in maps.items() if v}


def _silent(stage: str, done: int, total: int) -> None:
    return None
