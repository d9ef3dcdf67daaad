"""Training: normals in, a calibrated model out. No label and no defect is ever seen.

1. Read and describe every normal once.
2. Hold out by group: heads fitted on the other folds score normals, the same normals under another
   exposure, and synthetic anomalies made from them.
3. On those choose heads, fusion, map and cut; calibrate on the plain normals.
4. Fit the chosen heads on all normals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serving.experts.backbone import RunningBackbone, load_backbone
from serving.experts.calibration import Scores, calibrate
from serving.experts.composed import ComposedExpert, Model, Standardised
from serving.experts.ddad.expert import DdadExpert
from serving.experts.ddad.training import train_ddad
from serving.experts.describing import (
    describe_data,
    describe_libraries,
    near_duplicate_warning,
    precision_report,
)
from serving.experts.errors import TrainingError
from serving.experts.fusion import fuse_surprises, head_surprise, peak_and_spread
from serving.experts.heads import HEADS, FitInput, Head
from serving.experts.images import read_image
from serving.experts.options import FEWEST_IMAGES, TrainOptions
from serving.experts.preprocessing import Preprocessing, choose_preprocessing
from serving.experts.runtime import choose
from serving.experts.selection import change_exposure, choose_heads, choose_map
from serving.experts.synthetic import KINDS, corrupt
from serving.experts.types import Floats, Image, Mask

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, steps done and steps in all."""
_PRIOR = 8
"""Cell statistics are shrunk to those of all cells as if by so many more normals."""
_BATCH = 32
_MOST_CHANGE = 0.12

__all__ = ["Progress", "TrainOptions", "train"]


def train(
    product: str,
    images: Sequence[Path],
    options: TrainOptions | None = None,
    groups: Mapping[Path, str] | None = None,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> ComposedExpert | DdadExpert:
    """Train an expert on photographs of normal parts.

    Args:
        product: what the artifact is filed under.
        images: normal photographs, at least ``FEWEST_IMAGES``.
        groups: which photographs show the same part or capture; hold-out is by group.
        progress: told of every step.
        checkpoints: of ``ddad``: folder that training is continued from and written to.

    Raises:
        TrainingError: too few images or groups, or an option out of range.
        UndecodableImage: names the file.
    """
    options = options or TrainOptions()
    torch.set_num_threads(choose(options.runtime, "f32", options.device, options.threads).threads)
    report = progress or (lambda stage, done, total: None)
    if options.expert not in ("patchcore", "ddad"):
        raise TrainingError(f"expert {options.expert!r} is not known; use 'patchcore' or 'ddad'")
    if checkpoints and options.expert != "ddad":
        raise TrainingError(f"{options.expert!r} trains in one go: only 'ddad' has checkpoints")
    if len(images) < FEWEST_IMAGES:
        raise TrainingError(
            f"{len(images)} images are too few; at least {FEWEST_IMAGES} are needed"
        )
    paths, names = _limited(images, groups or {}, options)
    preprocessing, pixels = _read(paths, options, report)
    prepared = (product, preprocessing, pixels, names, options, report, groups is not None)
    if options.expert == "ddad":
        return train_ddad(*prepared, checkpoints)
    return _train(*prepared)


def _train(
    product: str,
    preprocessing: Preprocessing,
    pixels: Image,
    names: list[str],
    options: TrainOptions,
    report: Progress,
    grouped: bool,
) -> ComposedExpert:
    layers = tuple(sorted({layer for h in options.heads for layer in HEADS[h].layers})) or (
        "stage4",
    )
    backbone = load_backbone(
        options.backbone,
        options.runtime,
        "f32",
        options.device,
        layers,
        (preprocessing.height, preprocessing.width),
        options.threads,
    )
    normals = _describe(backbone, pixels, options.seed, "features", report)
    trial = _make_trial(pixels, options)
    changed = _describe(backbone, trial.changed, options.seed, "exposures", report)
    odd = _describe(backbone, trial.odd, options.seed, "synthetic", report)
    held = _hold_out(normals, changed, odd, trial, _folds(names, options), options, report)
    heads = choose_heads(held.normal_surprise, held.odd_surprise, trial.kinds)
    region = choose_map(
        {k: v[trial.rows] for k, v in held.maps.items()}, held.odd_maps, trial.masks, trial.kinds
    )
    kept = tuple(dict.fromkeys((*heads.roles, *region.heads)))
    fused = fuse_surprises(held.plain_surprise, heads.roles)
    fitted = {}
    for i, name in enumerate(kept):
        report("fit", i, len(kept))
        head = HEADS[name].fit(normals, **options.head_config(name))
        fitted[name] = Standardised(head, *held.cells[name])
    report("fit", len(kept), len(kept))
    calibration = calibrate(fused, names, options.false_alarm_rate)
    trained: dict[str, Any] = {
        "options": asdict(options),
        "data": describe_data(pixels, names, grouped),
        "libraries": describe_libraries(),
        "choice": {
            "synthetic_auroc": heads.auroc,
            "synthetic_auroc_by_kind": heads.by_kind,
            "roles": heads.roles,
            "heads": {k: {"sees": HEADS[k].sees, "why": v} for k, v in heads.reasons.items()},
            "map_heads": list(region.heads),
            "map_synthetic_aupro": region.aupro,
            "map_synthetic_iou": region.iou,
            "map_synthetic_aupro_by_head": region.by_head,
        },
        "warnings": near_duplicate_warning(pixels, grouped),
    }
    if calibration.rate > options.false_alarm_rate:
        trained["warnings"].append(
            f"{calibration.groups} independent groups vouch for a rate of {calibration.rate:.4f} "
            f"at best, not for {options.false_alarm_rate}: the threshold stands for the former"
        )
    model = Model(
        product,
        options.backbone,
        preprocessing,
        tuple(sorted({layer for h in kept for layer in HEADS[h].layers})) or ("stage4",),
        fitted,
        {k: held.references[k] for k in heads.roles},
        heads.roles,
        region.heads,
        region.cut,
        calibration,
        trained,
    )
    trained["precision"] = precision_report(model, trial.changed, trial.odd, options.threads)
    return ComposedExpert(model, choose(options.runtime, "f32", options.device, options.threads))


class _Trial:
    """What choices are made on: exposure-changed normals and synthetic anomalies, with sources."""

    def __init__(self, rows: np.ndarray, changed: Image, odd: Image, masks: Mask, kinds: list[str]):
        self.rows, self.changed, self.odd, self.masks, self.kinds = rows, changed, odd, masks, kinds


class _Held:
    """Scores and maps from heads that never saw the image's group."""

    def __init__(self) -> None:
        self.maps: dict[str, Floats] = {}
        self.odd_maps: dict[str, Floats] = {}
        self.cells: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.references: dict[str, Scores] = {}
        self.plain_surprise: dict[str, Scores] = {}
        self.normal_surprise: dict[str, Scores] = {}
        self.odd_surprise: dict[str, Scores] = {}


def _limited(
    images: Sequence[Path], groups: Mapping[Path, str], options: TrainOptions
) -> tuple[list[Path], list[str]]:
    """At most ``most_images``, whole groups at random."""
    names = [groups.get(p, str(p)) for p in images]
    if len(images) > options.most_images:
        unique = np.array(sorted(set(names)))
        order = np.random.default_rng(options.seed).permutation(unique)
        rank = {name: i for i, name in enumerate(order)}
        rows = sorted(range(len(images)), key=lambda i: rank[names[i]])[: options.most_images]
        images, names = [images[i] for i in sorted(rows)], [names[i] for i in sorted(rows)]
    return list(images), names


def _read(
    paths: Sequence[Path], options: TrainOptions, report: Progress
) -> tuple[Preprocessing, Image]:
    """Every image prepared; the originals are not kept."""
    decoded = read_image(paths[0])
    shapes = {decoded.shape[:2]}
    preprocessing = choose_preprocessing([(h, w) for h, w in shapes], options.size)
    rows: list[Image] = []
    start = 0
    while start < len(paths):
        image = read_image(paths[start])
        if preprocessing.mode == "native" and image.shape[:2] not in shapes:
            preprocessing = Preprocessing("squash", options.size, options.size)
            rows, start = [], 0
            continue
        rows.append(preprocessing(image))
        start += 1
        report("read", start, len(paths))
    return preprocessing, np.stack(rows)


def _describe(
    backbone: RunningBackbone, pixels: Image, seed: int, stage: str, report: Progress
) -> FitInput:
    parts: dict[str, list[Floats]] = {layer: [] for layer in backbone.layers}
    for start in range(0, len(pixels), _BATCH):
        for layer, values in backbone.features(pixels[start : start + _BATCH]).items():
            parts[layer].append(values)
        report(stage, min(start + _BATCH, len(pixels)), len(pixels))
    features = {k: torch.from_numpy(np.concatenate(v)) for k, v in parts.items()}
    return FitInput(features, torch.from_numpy(pixels), seed)


def _make_trial(pixels: Image, options: TrainOptions) -> _Trial:
    rng = np.random.default_rng(options.seed)
    repeats = -(-options.synthetic // len(pixels))
    rows = np.concatenate([rng.permutation(len(pixels)) for _ in range(repeats)])
    rows = rows[: options.synthetic]
    kinds = [list(KINDS)[i % len(KINDS)] for i in range(len(rows))]
    made = [
        corrupt(pixels[r], pixels[int(rng.integers(len(pixels)))], kind, options.seed * 7919 + i)
        for i, (r, kind) in enumerate(zip(rows, kinds, strict=True))
    ]
    amount = options.exposure_change
    if amount is None:
        amount = min(_MOST_CHANGE, 0.5 * float(np.std(np.log(pixels.mean(axis=(1, 2, 3)) + 1))))
    changed = [
        change_exposure(pixels[r], amount, options.seed * 7919 + i) for i, r in enumerate(rows)
    ]
    return _Trial(
        rows,
        np.stack(changed),
        np.stack([m[0] for m in made]),
        np.stack([m[1] for m in made]),
        kinds,
    )


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
    normals: FitInput,
    changed: FitInput,
    odd: FitInput,
    trial: _Trial,
    folds: list[np.ndarray],
    options: TrainOptions,
    report: Progress,
) -> _Held:
    held = _Held()
    raw: dict[str, list[list[Floats]]] = {name: [[], [], []] for name in options.heads}
    order: list[list[np.ndarray]] = [[], [], []]
    steps = len(folds) * len(options.heads)
    for i, rows in enumerate(folds):
        rest = normals.select(torch.from_numpy(np.setdiff1d(np.arange(len(normals)), rows)))
        tried = np.flatnonzero(np.isin(trial.rows, rows))
        parts = ((normals, rows), (changed, tried), (odd, tried))
        for j, (_, chosen) in enumerate(parts):
            order[j].append(chosen)
        for done, name in enumerate(options.heads):
            head = HEADS[name].fit(rest, **options.head_config(name))
            for j, (given, chosen) in enumerate(parts):
                raw[name][j].append(_apply(head, given, chosen))
            report("hold out", i * len(options.heads) + done + 1, steps)
    rows_of = [np.concatenate(o) for o in order]
    for name, found in raw.items():
        maps = [_restore(np.concatenate(f), o) for f, o in zip(found, rows_of, strict=True)]
        _record(held, name, maps[0], maps[1], maps[2])
    return held


def _record(held: _Held, name: str, plain: Floats, changed: Floats, odd: Floats) -> None:
    mean, inverse = _cell_statistics(plain)
    plain, changed, odd = ((m - mean) * inverse for m in (plain, changed, odd))
    reference = np.sort(peak_and_spread(plain), axis=1)
    held.cells[name] = (torch.from_numpy(mean), torch.from_numpy(inverse))
    held.references[name] = reference
    held.maps[name], held.odd_maps[name] = plain, odd
    held.plain_surprise[name] = head_surprise(plain, reference)
    held.normal_surprise[name] = np.concatenate(
        [held.plain_surprise[name], head_surprise(changed, reference)]
    )
    held.odd_surprise[name] = head_surprise(odd, reference)


def _cell_statistics(maps: Floats) -> tuple[Floats, Floats]:
    """Mean and inverse deviation per cell, (h, w), shrunk to those of all cells."""
    share = len(maps) / (len(maps) + _PRIOR)
    mean = share * maps.mean(axis=0) + (1 - share) * maps.mean()
    variance = share * maps.var(axis=0) + (1 - share) * maps.var() + 1e-2 * maps.var() + 1e-12
    return mean.astype(np.float32), (1 / np.sqrt(variance)).astype(np.float32)


def _apply(head: Head, given: FitInput, rows: np.ndarray) -> Floats:
    found: list[Floats] = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            part = given.select(torch.from_numpy(rows[start : start + _BATCH]))
            found.append(head(part.features, part.pixels).float().numpy())
    if found:
        return np.concatenate(found)
    with torch.inference_mode():
        part = given.select(torch.zeros(1, dtype=torch.long))
        return np.asarray(head(part.features, part.pixels).float().numpy()[:0])


def _restore(values: Floats, order: np.ndarray) -> Floats:
    result = np.empty_like(values)
    result[order] = values
    return result
