"""The ``patchcore`` expert: a backbone and the heads chosen for a product, fused by p-values."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from torch import Tensor, nn

from serving.experts.backbone import Network
from serving.experts.calibration import Scores
from serving.experts.expert import answer, split_time
from serving.experts.fusion import fuse_maps, fuse_surprises, head_reference, head_surprise
from serving.experts.heads import Head
from serving.experts.mixed_precision import MixedPrecision
from serving.experts.model import TrainedModel
from serving.experts.runtime import Choice, Runner, make_runner
from serving.experts.types import Floats, Image, Scored


class Standardised(nn.Module):
    """A head whose map is in deviations of held-out normals, cell by cell."""

    cell_mean: Tensor
    cell_inverse: Tensor

    def __init__(self, head: Head, cell_mean: Tensor, cell_inverse: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("cell_mean", cell_mean)
        self.register_buffer("cell_inverse", cell_inverse)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """(N, h, w) in deviations; 0 is as normal as normals are on average."""
        values: Tensor = self.head(features, pixels)
        return (values - self.cell_mean) * self.cell_inverse


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(TrainedModel):
    """All that an artifact of ``patchcore`` holds."""

    layers: tuple[str, ...]
    heads: dict[str, Standardised]
    references: dict[str, Scores]
    """Held-out normals' peak and spread by head, (2, M), rows ascending."""
    roles: dict[str, str]
    """``full``, ``gated`` or ``equal`` by scoring head, see ``fusion.fuse_surprises``."""
    map_heads: tuple[str, ...]
    map_cut: float
    """Value of the fused map at which the region is outlined, in deviations."""
    map_alone: dict[str, float]
    """Own cut of each head whose map counts alone, see ``fusion.fuse_maps``."""

    @property
    def map_parts(self) -> tuple[tuple[str, ...], float, dict[str, float]]:
        """What ``fusion.fuse_maps`` needs beside the maps."""
        return self.map_heads, self.map_cut, self.map_alone


class Graph(MixedPrecision):
    """Backbone and heads as one module: uint8 (N, H, W, 3) to standardised maps by head."""

    def __init__(self, network: Network, heads: Mapping[str, Standardised]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict(dict(heads))

    def network_features(self, batch: Tensor) -> dict[str, Tensor]:
        """Backbone features by layer."""
        found: dict[str, Tensor] = self.network(batch)
        return found

    def judge(self, features: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        """Standardised maps (N, h, w) by head."""
        return {name: head(features, batch) for name, head in self.heads.items()}


class ComposedExpert:
    """A model on a runtime. Implements ``serving.experts.expert.Expert``."""

    name = "patchcore"

    def __init__(self, model: Model, choice: Choice, version: str = "") -> None:
        self.model, self.version = model, version
        self.held_out_maps: dict[str, Floats] = {}
        """Filled by training: maps of the oddest normals, by file, from heads that had not seen
        them."""
        self._references = {k: head_reference(r) for k, r in model.references.items()}
        self._wanted = choice

    @cached_property
    def _runner(self) -> Runner:
        """Compiled when first needed: training saves its model and never scores with it."""
        graph = Graph(Network(self.model.backbone, self.model.layers), self.model.heads)
        return make_runner(graph, *self.model.preprocessing.shape, self._wanted)

    def ready(self) -> Self:
        """Compile now, not at the first image.

        Raises:
            RuntimeUnavailable: the backbone's weights are missing.
        """
        _ = self._runner
        return self

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
        shape = self.model.preprocessing
        batch = np.concatenate([shape.cut(image) for image in images])
        prepared = time.perf_counter()
        found = self._runner(batch)
        inferred = time.perf_counter()
        by_tile = {k: head_surprise(found[k], r) for k, r in self._references.items()}
        fused = shape.per_image(fuse_surprises(by_tile, self.model.roles))
        heads = {k: shape.per_image(v) for k, v in by_tile.items()}
        values = shape.stitch(fuse_maps(found, *self.model.map_parts)) if maps else None
        timings = split_time(started, prepared, inferred, len(images))
        return answer(images, fused, values, self.model.calibration, timings, heads)
