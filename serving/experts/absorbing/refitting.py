"""The heads that an artifact has, fitted and calibrated again on other pictures of normal parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serving.experts.absorbing.additions import anomalies_on
from serving.experts.backbone import load_backbone
from serving.experts.calibration import Scores, calibrate
from serving.experts.composed import ComposedExpert, Model
from serving.experts.fusion import fuse_surprises
from serving.experts.holdout import Held, hold_out, make_folds
from serving.experts.options import Progress, TrainOptions
from serving.experts.selection import normal_cut
from serving.experts.sensitivity import Evidence, Sensitivity, sensitivity_report
from serving.experts.training import describe_pictures, fit_heads, layers_of
from serving.experts.training_set import TrainingSet
from serving.experts.trial import make_trial
from serving.experts.types import Image, Mask, Rows

_FOLDS = 8
"""Folds of the hold-out, fewer where there are fewer parts."""
_COARSE = 3
"""Folds for heads that draw the map and have no say in the score."""
_SYNTHETIC = 80
"""Synthetic anomalies that say what the new threshold finds."""


@dataclass(frozen=True, eq=False)
class Refitted:
    """An expert of the same heads in the same roles, with what its threshold finds."""

    expert: ComposedExpert
    found: Sensitivity
    """Of synthetic anomalies anywhere, on normals that the heads had not seen."""
    found_on_look: float | None
    """Share found of local ones on the new look; None where there is no new look, or none fits."""


def folds_of(parts: Sequence[str], seed: int, most: int = _FOLDS) -> list[Rows]:
    """Rows of each fold of the hold-out; a part is never split."""
    return make_folds(parts, min(_FOLDS, most, len(set(parts))), seed)


def options_of(model: Model) -> TrainOptions:
    """What the expert was trained with."""
    known = dict(model.trained["options"])
    return TrainOptions(**{**known, "heads": tuple(known["heads"]), "ddad": None})


def refit(
    expert: ComposedExpert,
    training: TrainingSet,
    folds: Sequence[Rows],
    report: Progress,
    look: Mask | None = None,
    shown: Image | None = None,
) -> Refitted:
    """Fit, hold out and calibrate; which heads there are and how they count stays.

    Cell statistics are those of the hold-out as it is. Training reckons with heads that know more
    parts than those of the hold-out did; here what is new to them is the light or the look, of
    which the heads in use know no more.

    Args:
        expert: the untaught expert.
        training: other pictures of its normals.
        folds: rows held out together, see ``folds_of``.
        look: where the pictures show a new look, (H, W).
        shown: what is scored of each normal in the hold-out, where that differs from what heads
            are fitted on.
    """
    model, options = expert.model, options_of(expert.model)
    kept, scoring = tuple(model.heads), tuple(model.roles)
    backbone = load_backbone(
        model.backbone, options.choose_f32(), layers_of(kept), model.preprocessing.shape
    )
    pixels, seed = training.pixels, options.seed
    odd, kinds, drawn, on_look = _anomalies(pixels if shown is None else shown, options, look)
    plain = describe_pictures(backbone, pixels, seed, lambda a, b: report("features", a, b))
    changed = describe_pictures(backbone, odd, seed, lambda a, b: report("synthetic", a, b))
    other = None if shown is None else describe_pictures(backbone, shown, seed)
    none, drawing = np.zeros(0, np.int64), tuple(k for k in kept if k not in scoring)
    coarse = hold_out(
        plain, None, changed, none, _joined(folds), options, drawing, report, "map", shown=other
    )
    held = hold_out(
        plain, None, changed, drawn, list(folds), options, scoring, report, "calibrate", shown=other
    )
    heads = fit_heads(kept, plain, coarse.cells | held.cells, options, report)
    shape = model.preprocessing
    scores = shape.per_image(fuse_surprises(held.plain_surprise, model.roles))
    parts = training.parts[:: shape.tiles]
    calibration = calibrate(scores, parts, model.calibration.asked_rate)
    fused = fuse_surprises(held.odd_surprise, model.roles)
    anywhere = [k for k, own in zip(kinds, on_look, strict=True) if not own]
    evidence = Evidence(scores, parts, training.files, fused[~on_look], anywhere)
    found = sensitivity_report(evidence, calibration)
    fitted = replace(
        model,
        heads=heads,
        references={k: held.references[k] for k in model.roles},
        calibration=calibration,
        map_alone={k: normal_cut(held.maps[k]) for k, r in model.roles.items() if r == "equal"},
        trained=model.trained
        | {
            "sensitivity": found,
            "precision": {"measured": False, "why": "it was measured before absorbing"},
        },
    )
    kept_set = replace(training, held_out=_held_out(held, model))
    there = fused[on_look] > calibration.threshold
    return Refitted(
        ComposedExpert(fitted, expert.wanted, keep=lambda: kept_set),
        found,
        float(there.mean()) if len(there) else None,
    )


def _joined(folds: Sequence[Rows]) -> list[Rows]:
    """Fewer folds, each of several whole ones."""
    return [np.concatenate(folds[i::_COARSE]) for i in range(min(_COARSE, len(folds)))]


def _held_out(held: Held, model: Model) -> dict[str, Scores]:
    return {name: held.plain_surprise[name] for name in model.roles}


def _anomalies(
    pixels: Image, options: TrainOptions, look: Mask | None
) -> tuple[Image, list[str], Rows, Mask]:
    """Synthetic anomalies anywhere and on the look: pictures, kinds, rows, which is on it."""
    rng = np.random.default_rng(options.seed)
    trial = make_trial(pixels, _SYNTHETIC, 0.0, options.seed, rng)
    if look is None:
        return trial.odd, list(trial.kinds), trial.rows, np.zeros(len(trial.rows), bool)
    odd, _, kinds, rows = anomalies_on(pixels, look, _SYNTHETIC // 2, options.seed + 1)
    on_look = np.repeat([False, True], [len(trial.rows), len(rows)])
    return (
        np.concatenate([trial.odd, odd]),
        [*trial.kinds, *kinds],
        np.concatenate([trial.rows, rows]),
        on_look,
    )
