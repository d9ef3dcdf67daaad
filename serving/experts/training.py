"""Training: normals in, a calibrated model out. No label and no defect is ever seen.

1. Read and describe every normal once.
2. Hold out by group: heads fitted on the other folds score normals, the same normals under another
   exposure, and synthetic anomalies made from them.
3. On those choose heads, fusion, map and cut.
4. Hold out again in more folds, the chosen heads only: calibrate on the plain normals, and say what
   share of the synthetic anomalies the threshold finds.
5. Fit the chosen heads on all normals.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from serving.experts.backbone import load_backbone
from serving.experts.calibration import calibrate
from serving.experts.composed import ComposedExpert, Model
from serving.experts.ddad.expert import DdadExpert
from serving.experts.ddad.training import train_ddad
from serving.experts.errors import RuntimeUnavailable, TrainingError
from serving.experts.fusion import fuse_maps, fuse_surprises
from serving.experts.graph import Standardised
from serving.experts.head_state import HeadState
from serving.experts.heads import HEADS, FitInput
from serving.experts.holdout import (
    Held,
    expected_cells,
    fit_together,
    hold_out,
    make_folds,
    rehearse,
)
from serving.experts.normals import Normals, describe_libraries, read_normals
from serving.experts.options import FEWEST_IMAGES, Progress, TrainOptions
from serving.experts.precision import compare_precisions
from serving.experts.preprocessing import Preprocessing
from serving.experts.runtime import Runner, choose
from serving.experts.selection import HeadChoice, MapChoice, choose_heads, choose_map, normal_cut
from serving.experts.sensitivity import (
    Evidence,
    Sensitivity,
    sensitivity_report,
    sensitivity_warning,
)
from serving.experts.training_set import TrainingSet
from serving.experts.trial import TrialImages, make_trial
from serving.experts.types import Floats, Image, Rows

_BATCH = 32
_FLOOR = 1.0
"""Surprise below which a score says nothing: a deviation there is taken as a share of this."""

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
        checkpoints: folder that training of ``ddad`` is continued from and written to.

    Raises:
        TrainingError: too few images or groups, images too small, or an option out of range.
        UndecodableImage: names the files.
    """
    options = options or TrainOptions()
    torch.set_num_threads(options.choose_f32().threads)
    report = progress or (lambda stage, done, total: None)
    if options.expert not in ("patchcore", "ddad"):
        raise TrainingError(f"expert {options.expert!r} is not known; use 'patchcore' or 'ddad'")
    if checkpoints and options.expert != "ddad":
        raise TrainingError(f"{options.expert!r} trains in one go: only 'ddad' has checkpoints")
    if options.tiles and options.expert != "patchcore":
        raise TrainingError(f"{options.expert!r} has no tiles; use 'patchcore' or a larger size")
    if len(images) < FEWEST_IMAGES:
        raise TrainingError(
            f"{len(images)} images are too few: give at least {FEWEST_IMAGES} of different good "
            "parts, better 100"
        )
    normals = read_normals(product, images, groups or {}, options, report)
    if len(normals.files) < FEWEST_IMAGES:
        raise TrainingError(
            f"{len(images)} images show {len(normals.files)} different pictures: give at least "
            f"{FEWEST_IMAGES} of different good parts, better 100"
        )
    if options.expert == "ddad":
        return train_ddad(normals, options, report, checkpoints)
    return _train(normals, options, report)


def _train(normals: Normals, options: TrainOptions, report: Progress) -> ComposedExpert:
    candidates = _candidates(options, normals.preprocessing)
    layers = layers_of(candidates)
    shape = normals.preprocessing.shape
    backbone = load_backbone(options.backbone, options.choose_f32(), layers, shape)
    plain = describe_pictures(backbone, normals.pixels, options.seed, partial(report, "features"))
    rng = np.random.default_rng(options.seed)
    exposure = options.exposure_change
    trial = make_trial(normals.pixels, options.synthetic, exposure, options.seed, rng)
    changed = describe_pictures(backbone, trial.changed, options.seed, partial(report, "exposures"))
    odd = describe_pictures(backbone, trial.odd, options.seed, partial(report, "synthetic"))
    folds = make_folds(normals.names, options.folds, options.seed)
    held = hold_out(
        plain, changed, odd, trial.rows, folds, options, candidates, report, by_others=False
    )
    heads = choose_heads(held.normal_surprise, held.odd_surprise, trial.kinds)
    region = choose_map(
        {k: v[trial.rows] for k, v in held.maps.items()}, held.odd_maps, trial.masks, trial.kinds
    )
    unseen = folds[0]
    most = min(options.calibration_folds, len(set(normals.names)))
    folds = make_folds(normals.names, most, options.seed)
    scoring = tuple(heads.roles)
    final = hold_out(plain, None, odd, trial.rows, folds, options, scoring, report, "calibrate")
    kept = tuple(dict.fromkeys((*heads.roles, *region.heads)))
    expected = expected_cells(held, final, (options.folds, most))
    fitted = fit_heads(kept, plain, held.cells | expected, options, report)
    evidence = _evidence(final, heads, trial, normals)
    calibration = calibrate(evidence.normal, evidence.groups, options.false_alarm_rate)
    found = sensitivity_report(evidence, calibration)
    trained: dict[str, object] = {
        "options": asdict(options),
        "data": normals.described() | {"tiles": normals.preprocessing.tiles},
        "libraries": describe_libraries(),
        "choice": _describe_choice(heads, region),
        "sensitivity": found,
        "warnings": normals.warnings()
        + calibration.warnings()
        + sensitivity_warning(found, calibration),
    }
    model = Model(
        product=normals.product,
        backbone=options.backbone,
        preprocessing=normals.preprocessing,
        calibration=calibration,
        trained=trained,
        layers=layers_of(kept),
        heads=fitted,
        references={k: final.references[k] for k in heads.roles},
        roles=heads.roles,
        map_heads=region.heads,
        map_cut=region.cut,
        map_alone={k: normal_cut(held.maps[k]) for k, r in heads.roles.items() if r == "equal"},
    )
    trained["precision"] = _compare_bf16(model, held, trial, unseen, options)
    held_out = {k: final.plain_surprise[k] for k in heads.roles}
    kept_set = TrainingSet(normals.pixels, tuple(normals.names), tuple(normals.files), held_out)
    expert = ComposedExpert(model, options.choose_f32(), keep=lambda: kept_set)
    expert.held_out_maps = _held_out_maps(held, model, found)
    return expert


def fit_heads(
    kept: Sequence[str],
    plain: FitInput,
    cells: Mapping[str, tuple[Tensor, Tensor]],
    options: TrainOptions,
    report: Progress,
) -> dict[str, HeadState]:
    """The chosen heads on all normals, each with its cells' statistics of the hold-out."""
    report("fit", 0, len(kept))
    fitted = fit_together(kept, plain, options)
    report("fit", len(kept), len(kept))
    return {name: Standardised(head, *cells[name]).state() for name, head in fitted.items()}


def _compare_bf16(
    model: Model,
    held: Held,
    trial: TrialImages,
    unseen: Rows,
    options: TrainOptions,
) -> dict[str, object]:
    """What bf16 makes of the first fold, which ``held.first`` has not seen, tile by tile.

    The f32 scores are those of the hold-out; heads always run in f32, so that of bf16 only the
    backbone is compiled.
    """
    layers = layers_of(model.roles)
    try:
        choice = choose("openvino", "bf16", "cpu", options.threads)
        backbone = load_backbone(model.backbone, choice, layers, model.preprocessing.shape)
    except RuntimeUnavailable as error:
        return {"measured": False, "why": str(error)}
    tried = np.flatnonzero(np.isin(trial.rows, unseen))
    exact = (
        fuse_surprises(held.plain_surprise, model.roles)[unseen],
        fuse_surprises(held.odd_surprise, model.roles)[tried],
    )
    rough = [
        rehearse(held, model.roles, describe_pictures(backbone, images, options.seed))
        for images in (trial.normals[unseen], trial.odd[tried])
    ]
    return compare_precisions(
        exact, (rough[0], rough[1]), model.calibration.threshold, floor=_FLOOR
    )


def _evidence(final: Held, heads: HeadChoice, trial: TrialImages, normals: Normals) -> Evidence:
    """Scores per image; a synthetic anomaly is on one tile, which is scored by itself."""
    tiled = normals.preprocessing
    plain = tiled.per_image(fuse_surprises(final.plain_surprise, heads.roles))
    odd = fuse_surprises(final.odd_surprise, heads.roles)
    return Evidence(plain, normals.names[:: tiled.tiles], normals.files, odd, trial.kinds)


def _describe_choice(heads: HeadChoice, region: MapChoice) -> dict[str, object]:
    return {
        "synthetic_auroc": heads.auroc,
        "synthetic_auroc_by_kind": heads.by_kind,
        "roles": heads.roles,
        "heads": {k: {"sees": HEADS[k].sees, "why": v} for k, v in heads.reasons.items()},
        "map_heads": list(region.heads),
        "map_synthetic_aupro": region.aupro,
        "map_synthetic_iou": region.iou,
        "map_synthetic_aupro_by_head": region.by_head,
    }


def _held_out_maps(held: Held, model: Model, found: Sensitivity) -> dict[str, Floats]:
    """Maps of the oddest normals by file, from heads that never saw their group."""
    tiles, result = model.preprocessing.tiles, {}
    for entry in found["oddest"]:
        rows = slice(entry["row"] * tiles, (entry["row"] + 1) * tiles)
        maps = {k: v[rows] for k, v in held.maps.items()}
        fused = fuse_maps(maps, *model.map_parts)
        result[entry["file"]] = model.preprocessing.stitch(fused)[0]
    return result


def layers_of(heads: Iterable[str]) -> tuple[str, ...]:
    """The backbone's layers that these heads read."""
    return tuple(sorted({layer for h in heads for layer in HEADS[h].layers})) or ("stage4",)


def _candidates(options: TrainOptions, preprocessing: Preprocessing) -> tuple[str, ...]:
    """With tiles, heads that know places are out: tiles of one image share their banks."""
    if preprocessing.tiles == 1:
        return options.heads
    left = tuple(h for h in options.heads if not HEADS[h].fixtured)
    if not left:
        raise TrainingError("tiles need a head that knows no places: patchcore, pooled or texture")
    return left


def describe_pictures(
    backbone: Runner,
    pixels: Image,
    seed: int,
    report: Callable[[int, int], None] | None = None,
) -> FitInput:
    """Features of prepared pictures (N, H, W, 3), batch by batch; ``report`` is told of each."""
    parts = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(backbone(pixels[start : start + _BATCH]))
        if report is not None:
            report(min(start + _BATCH, len(pixels)), len(pixels))
    features = {k: torch.from_numpy(np.concatenate([p[k] for p in parts])) for k in parts[0]}
    return FitInput(features, torch.from_numpy(pixels), seed)
