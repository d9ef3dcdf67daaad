"""Training DDAD: normals in, a calibrated expert out. No label and no defect is ever seen.

1. A share of the groups is put aside for the threshold and takes part in nothing else.
2. The UNet learns the other normals; the extractor is adapted on their reconstructions.
3. Guidance, pixel weight, adaptation epoch and the region's cut are chosen on synthetic anomalies.
4. The distances' scales come from the training normals, the threshold from those put aside.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from serving.experts.calibration import Scores, calibrate
from serving.experts.ddad.adapt import adapt_extractor
from serving.experts.ddad.choosing import (
    Chosen,
    choose_cut,
    choose_weighing,
    judge,
    with_extractor,
)
from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import (
    DdadExpert,
    DdadModel,
    Distances,
    Running,
    choose_running,
    make_maps,
)
from serving.experts.ddad.fitting import fit_unet, resolved
from serving.experts.ddad.options import DdadOptions
from serving.experts.ddad.unet import count_parameters
from serving.experts.errors import TrainingError
from serving.experts.normals import Normals, describe_libraries
from serving.experts.options import Progress, TrainOptions
from serving.experts.precision import compare_precisions
from serving.experts.runtime import choose
from serving.experts.trial import TrialImages, make_trial
from serving.experts.types import Floats, Image, Rows

_FEWEST_GROUPS = 4
_COMPARED = 32
"""Images of each kind that reduced precision is compared with f32 on."""


def train_ddad(
    normals: Normals,
    options: TrainOptions,
    report: Progress,
    checkpoints: Path | None = None,
) -> DdadExpert:
    """Train the UNet, adapt the extractor, choose and calibrate.

    Args:
        normals: prepared photographs with their groups.
        options: ``options.ddad`` holds those of DDAD alone.
        report: told of every step.
        checkpoints: folder that the UNet's training is continued from and written to.

    Raises:
        TrainingError: too few groups, diverged, or a checkpoint of another training.
    """
    device = choose("torch", "f32", options.device, options.threads).device
    own = resolved(options.ddad or DdadOptions(), device)
    pixels, names = normals.pixels, normals.names
    fit, held = split_groups(names, own.held_out, options.seed)
    unet, loss = fit_unet(
        pixels[fit], own, device, options.seed, checkpoints, lambda d, t: report("denoise", d, t)
    )
    rng = np.random.default_rng([options.seed, 2])
    trial = make_trial(pixels[fit], own.trial, options.exposure_change, options.seed, rng)
    running = Running(device, "f32", 8 if device.startswith("cuda") else 4)
    shape = normals.preprocessing.shape
    seen = Distances(unet, Extractor(options.backbone), own, shape, options.seed, running)
    chosen = choose_weighing(seen, trial, own, report)
    chosen, marks = _adapt(seen, trial, pixels[fit], chosen, own, options.seed, report)
    chosen = choose_cut(chosen, trial, own)
    peaks = _peaks(seen, pixels[held], chosen, own, report)
    calibration = calibrate(peaks, [names[i] for i in held], options.false_alarm_rate)
    trained: dict[str, object] = {
        "options": asdict(options) | {"ddad": asdict(own)},
        "data": normals.described() | {"held_out_images": len(held)},
        "libraries": describe_libraries(),
        "unet": {"device": device, "parameters": count_parameters(unet), "loss": loss},
        "choice": {**chosen.reasons, "synthetic_auroc_by_adapt_epoch": marks},
        "warnings": normals.warnings() + calibration.warnings(),
    }
    model = DdadModel(
        product=normals.product,
        backbone=options.backbone,
        preprocessing=normals.preprocessing,
        calibration=calibration,
        trained=trained,
        options=own,
        noise_seed=options.seed,
        unet=unet,
        extractor=seen.extractor,
        adapted=marks.index(max(marks)) > 0,
        weighing=chosen.weighing,
    )
    trained["precision"] = _compare_precision(model, trial, device)
    return DdadExpert(model, choose_running(model, "auto", "f32", device, options.threads))


def split_groups(names: list[str], share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows for the threshold; a group is never split.

    Raises:
        TrainingError: too few groups.
    """
    unique = sorted(set(names))
    if len(unique) < _FEWEST_GROUPS:
        raise TrainingError(
            f"{len(unique)} groups are too few to hold some out; give photographs of more parts"
        )
    order = np.random.default_rng(seed).permutation(len(unique))
    count = min(max(1, round(share * len(unique))), len(unique) - 1)
    aside = {unique[i] for i in order[:count]}
    held = np.array([name in aside for name in names])
    return np.flatnonzero(~held), np.flatnonzero(held)


def _adapt(
    seen: Distances,
    trial: TrialImages,
    pixels: Image,
    chosen: Chosen,
    options: DdadOptions,
    seed: int,
    report: Progress,
) -> tuple[Chosen, list[float]]:
    def mark(extractor: Extractor) -> float:
        tried = with_extractor(seen, trial, chosen, extractor)
        return judge(trial, tried.compared, tried.weighing, options.smoothing)

    best, marks = adapt_extractor(
        seen.extractor,
        seen.unet,
        pixels,
        options,
        seen.running.device,
        seed,
        mark,
        lambda done, total: report("adapt", done, total),
    )
    return with_extractor(seen, trial, chosen, best), marks


def _peaks(
    seen: Distances, pixels: Image, chosen: Chosen, options: DdadOptions, report: Progress
) -> Scores:
    """Image scores of the normals put aside, float64 (N,)."""
    found: list[Floats] = []
    step = 8 * seen.running.micro_batch
    for start in range(0, len(pixels), step):
        pair = seen(pixels[start : start + step], chosen.weighing.guidance)
        found.append(make_maps(*pair, chosen.weighing, options.smoothing).max(axis=(1, 2)))
        report("calibrate", min(start + step, len(pixels)), len(pixels))
    return np.concatenate(found).astype(np.float64)


def _compare_precision(model: DdadModel, trial: TrialImages, device: str) -> dict[str, object]:
    """bf16 against f32 on the trial, on CUDA: what ``auto`` decides by when the artifact loads."""
    if not (device.startswith("cuda") and torch.cuda.is_bf16_supported()):
        return {"measured": False, "why": f"trained on {device}"}
    found = {}
    for precision in ("f32", "bf16"):
        expert = DdadExpert(model, choose_running(model, "torch", precision, device))
        scores = [
            np.array([s.score for s in expert.score(list(images[:_COMPARED]), maps=False)])
            for images in (trial.images[0], trial.odd)
        ]
        found[precision] = scores[0], scores[1]
    return compare_precisions(found["f32"], found["bf16"], model.calibration.threshold)
