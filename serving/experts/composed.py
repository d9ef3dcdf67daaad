"""The ``patchcore`` expert: a backbone and the heads chosen for a product, fused by p-values."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.backbone import Network, preprocess
from serving.experts.calibration import Calibration, Scores, surprise
from serving.experts.heads.base import Head
from serving.experts.regions import make_region
from serving.experts.runtime import Choice, make_runner
from serving.experts.types import Floats, Image, Scored


@dataclass(frozen=True, eq=False)
class Model:
    """All that an artifact holds: independent of the runtime."""

    product: str
    backbone: str
    size: int
    layers: tuple[str, ...]
    heads: dict[str, Head]
    references: dict[str, Scores]
    """Held-out normals' scores by head, ascending."""
    map_scales: dict[str, tuple[float, float]]
    """By head: the held-out normals' median and 99.9th percentile of the map."""
    calibration: Calibration
    manifest: dict[str, Any] = field(default_factory=dict)


class Graph(nn.Module):
    """Backbone and heads as one module: uint8 (N, H, W, 3) to scores and maps by head."""

    def __init__(self, network: Network, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict(dict(heads))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """``<head>.score`` (N,) and, where the head has one, ``<head>.map`` (N, h, w)."""
        features = self.network(batch)
        found = {}
        for name, head in self.heads.items():
            score, values = head(features, batch)
            found[f"{name}.score"] = score
            if values is not None:
                found[f"{name}.map"] = values
        return found


def fuse_scores(scores: Mapping[str, Scores], references: Mapping[str, Scores]) -> Scores:
    """The largest surprise of any head: min-p (Tippett 1931) with extrapolated tails."""
    return np.max([surprise(scores[k], references[k]) for k in references], axis=0)


def fuse_maps(maps: Mapping[str, Floats], scales: Mapping[str, tuple[float, float]]) -> Floats:
    """(N, h, w) maps of any resolution to one: each in units of its normal range, the larger."""
    import cv2

    side = max(m.shape[-1] for m in maps.values()) * 2
    parts = []
    for name, values in maps.items():
        low, high = scales[name]
        scaled = (values - low) / max(high - low, 1e-9)
        parts.append([cv2.resize(v, (side, side), interpolation=cv2.INTER_LINEAR) for v in scaled])
    return np.asarray(np.max(np.asarray(parts, dtype=np.float32), axis=0), dtype=np.float32)


class ComposedExpert:
    """A model on a runtime. Implements ``serving.experts.expert.Expert``."""

    name = "patchcore"

    def __init__(self, model: Model, choice: Choice, version: str = "") -> None:
        self.model, self.version = model, version
        network = Network(model.backbone, model.layers)
        self._runner = make_runner(Graph(network, model.heads), model.size, model.size, choice)

    @property
    def product(self) -> str:
        """The product it was trained for."""
        return self.model.product

    @property
    def choice(self) -> Choice:
        """The runtime in use."""
        return self._runner.choice

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        """One answer per image, in order; see ``Expert.score``."""
        if not images:
            return []
        started = time.perf_counter()
        batch = np.stack([preprocess(image, self.model.size) for image in images])
        prepared = time.perf_counter()
        found = self._runner(batch)
        inferred = time.perf_counter()
        heads = {
            k: surprise(found[f"{k}.score"].astype(np.float64), r)
            for k, r in self.model.references.items()
        }
        fused = np.max(list(heads.values()), axis=0)
        values = self._fused_maps(found) if maps else None
        done = time.perf_counter()
        timings = {
            "preprocess": (prepared - started) * 1e3 / len(images),
            "network": (inferred - prepared) * 1e3 / len(images),
            "fuse": (done - inferred) * 1e3 / len(images),
        }
        return [
            self._answer(
                image,
                float(fused[i]),
                None if values is None else values[i],
                {k: float(v[i]) for k, v in heads.items()},
                timings,
            )
            for i, image in enumerate(images)
        ]

    def _fused_maps(self, found: Mapping[str, Floats]) -> Floats:
        maps = {k: found[f"{k}.map"] for k in self.model.map_scales}
        return fuse_maps(maps, self.model.map_scales)

    def _answer(
        self,
        image: Image,
        score: float,
        values: Floats | None,
        heads: dict[str, float],
        timings: dict[str, float],
    ) -> Scored:
        height, width = image.shape[:2]
        threshold = self.model.calibration.threshold
        anomalous = score > threshold
        region = None
        if anomalous and values is not None:
            region = make_region(values, 1.0, height, width)
        return Scored(
            score,
            threshold,
            self.model.calibration.p_value(score),
            anomalous,
            values,
            region,
            height,
            width,
            heads,
            timings,
        )


def run_graph(graph: Graph, batch: Image) -> dict[str, Floats]:
    """Run a graph once in torch, for calibration during training."""
    with torch.inference_mode():
        found = graph(torch.from_numpy(batch))
    return {k: v.float().numpy() for k, v in found.items()}
