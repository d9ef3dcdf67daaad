"""Guidance, pixel weight, extractor and cut, chosen on synthetic anomalies; scales from normals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import Distances, Weighing, in_chunks, make_maps
from serving.experts.ddad.options import DdadOptions
from serving.experts.options import Progress
from serving.experts.selection import choose_map
from serving.experts.trial import TrialImages
from serving.experts.types import Floats, Image

_EPSILON = 1e-9


@dataclass(frozen=True, eq=False)
class Compared:
    """Reconstructions of the trial's plain, changed and odd images and their distances; CPU."""

    drawn: tuple[Tensor, ...]
    """Reconstructions, (draws, N, 3, H, W) of each version."""
    pixel: tuple[Tensor, ...]
    """Pixel distances, (N, H, W) of each version."""
    feature: tuple[Tensor, ...]
    """Feature distances, (N, H, W) of each version."""

    def scales(self) -> tuple[float, float]:
        """P and F: mean over plain normals of the peak of the pixel and feature distance."""
        peaks = (values[0].flatten(1).amax(dim=1).mean() for values in (self.pixel, self.feature))
        pixel, feature = (max(float(peak), _EPSILON) for peak in peaks)
        return pixel, feature

    def maps(self, weighing: Weighing, smoothing: float) -> list[Floats]:
        """Smoothed maps of plain, changed and odd images."""
        pairs = zip(self.pixel, self.feature, strict=True)
        return [make_maps(pixel, feature, weighing, smoothing) for pixel, feature in pairs]


@dataclass(frozen=True, eq=False)
class Chosen:
    """The choice so far, what it was made on, and the figures behind it (JSON values)."""

    weighing: Weighing
    compared: Compared
    reasons: dict[str, object]


def choose_weighing(
    seen: Distances, trial: TrialImages, options: DdadOptions, report: Progress
) -> Chosen:
    """The w and v with the best mean AUROC over synthetic kinds; of equals the first."""
    best: tuple[float, Weighing, Compared] | None = None
    table: dict[str, float] = {}
    for done, guidance in enumerate(options.guidance):
        compared = compare_trial(seen, trial, guidance)
        for weight in options.pixel_weight:
            weighing = Weighing(guidance, weight, *compared.scales(), cut=1.0)
            mark = judge(trial, compared, weighing, options.smoothing)
            table[f"w={guidance:g} v={weight:g}"] = mark
            if best is None or mark > best[0]:
                best = (mark, weighing, compared)
        report("choose", done + 1, len(options.guidance))
    assert best is not None, "options hold at least one candidate each"
    return Chosen(best[1], best[2], {"synthetic_auroc_by_weighing": table})


def judge(trial: TrialImages, compared: Compared, weighing: Weighing, smoothing: float) -> float:
    """Mean AUROC over synthetic kinds of the maps' peaks."""
    peaks = [values.max(axis=(1, 2)) for values in compared.maps(weighing, smoothing)]
    return float(np.mean(list(trial.quality(*peaks).values())))


def compare_trial(seen: Distances, trial: TrialImages, guidance: float) -> Compared:
    """Paint the trial's images back and compare."""
    drawn = tuple(_paint(seen, images, guidance) for images in trial.images)
    return Compared(drawn, *_compare(seen, trial, drawn))


def with_extractor(
    seen: Distances, trial: TrialImages, chosen: Chosen, extractor: Extractor
) -> Chosen:
    """The same choice with the features, and so the feature scale, of another extractor."""
    seen.extractor = extractor
    _, feature = _compare(seen, trial, chosen.compared.drawn)
    compared = replace(chosen.compared, feature=feature)
    weighing = replace(chosen.weighing, feature_scale=compared.scales()[1])
    return Chosen(weighing, compared, chosen.reasons)


def choose_cut(chosen: Chosen, trial: TrialImages, options: DdadOptions) -> Chosen:
    """The cut that outlines local synthetic anomalies best (intersection over union)."""
    maps = chosen.compared.maps(chosen.weighing, options.smoothing)
    region = choose_map({"ddad": maps[0]}, {"ddad": maps[2]}, trial.masks, trial.kinds)
    peaks = [values.max(axis=(1, 2)) for values in maps]
    reasons = {
        **chosen.reasons,
        "guidance": chosen.weighing.guidance,
        "pixel_weight": chosen.weighing.pixel_weight,
        "synthetic_auroc_by_kind": trial.quality(*peaks),
        "map_synthetic_aupro": region.aupro,
        "map_synthetic_iou": region.iou,
    }
    return Chosen(replace(chosen.weighing, cut=region.cut), chosen.compared, reasons)


def _paint(seen: Distances, images: Image, guidance: float) -> Tensor:
    parts = [
        seen.reconstruct(chunk, guidance)[:, :count].cpu()
        for chunk, count in in_chunks(images, seen.running.micro_batch)
    ]
    return torch.cat(parts, dim=1)


def _compare(
    seen: Distances, trial: TrialImages, drawn: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Pixel and feature distances (N, H, W) of the trial's three versions."""
    size = seen.running.micro_batch
    pairs = []
    for images, painted in zip(trial.images, drawn, strict=True):
        parts = []
        for start in range(0, len(images), size):
            rows = slice(start, start + size)
            part = seen.compare(images[rows], painted[:, rows].to(seen.running.device))
            parts.append([values.cpu() for values in part])
        pairs.append([torch.cat(side) for side in zip(*parts, strict=True)])
    pixel, feature = zip(*pairs, strict=True)
    return pixel, feature
