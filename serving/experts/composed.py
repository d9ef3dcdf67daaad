"""The ``patchcore`` expert: a backbone and the heads chosen for a product, fused by p-values."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from serving.experts.calibration import Scores, calibrate
from serving.experts.errors import TrainingError
from serving.experts.expert import answer, split_time
from serving.experts.fusion import fuse_maps, fuse_surprises, head_reference, head_surprise
from serving.experts.head_state import TAUGHT, TAUGHT_LAYERS, HeadState
from serving.experts.model import TrainedModel
from serving.experts.openvino import lanes_runner
from serving.experts.runtime import Choice, Runner
from serving.experts.taught import Taught
from serving.experts.training_set import TrainingSet
from serving.experts.types import Floats, Image, Scored


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(TrainedModel):
    """All that an artifact of ``patchcore`` holds."""

    layers: tuple[str, ...]
    heads: Mapping[str, HeadState]
    references: dict[str, Scores]
    """Held-out normals' peak and spread by head, (2, M), rows ascending."""
    roles: dict[str, str]
    """``full``, ``gated`` or ``equal`` by scoring head, see ``fusion.fuse_surprises``."""
    map_heads: tuple[str, ...]
    map_cut: float
    """Value of the fused map at which the region is outlined, in deviations."""
    map_alone: dict[str, float]
    """Own cut of each head whose map counts alone, see ``fusion.fuse_maps``."""
    taught: Taught | None = None
    """What labelled photographs added; None before any."""

    @property
    def all_heads(self) -> dict[str, HeadState]:
        """The heads by name, the taught one among them."""
        taught = {} if self.taught is None else {TAUGHT: self.taught.head}
        return {**self.heads, **taught}

    @property
    def map_parts(self) -> tuple[tuple[str, ...], float, dict[str, float]]:
        """What ``fusion.fuse_maps`` needs beside the maps."""
        return self.map_heads, self.map_cut, self.map_alone


class ComposedExpert:
    """A model on a runtime. Implements ``serving.experts.expert.Expert``."""

    name = "patchcore"

    def __init__(
        self,
        model: Model,
        choice: Choice,
        version: str = "",
        keep: Callable[[], TrainingSet] | None = None,
    ) -> None:
        """``keep`` gives the training set, read when it is first asked for."""
        self.model, self.version, self.wanted, self.keep = model, version, choice, keep
        self.held_out_maps: dict[str, Floats] = {}
        """Filled by training: maps of the oddest normals, by file, from heads that had not seen
        them."""
        self._references = {k: head_reference(r) for k, r in model.references.items()}

    @cached_property
    def _runner(self) -> Runner:
        """Compiled when first needed: training saves its model and never scores with it."""
        model, heads = self.model, self.model.all_heads
        layers = model.layers
        if model.taught is not None:
            layers = tuple(sorted({*layers, *TAUGHT_LAYERS}))
        if set(layers) <= set(TAUGHT_LAYERS):
            layers = TAUGHT_LAYERS  # the deepest makes the others anyway: one for all products
        if self.wanted.runtime == "openvino":
            shape = model.preprocessing.shape
            return lanes_runner(model.backbone, layers, heads, shape, self.wanted)
        # imported here alone: a replica on OpenVINO holds no torch
        from serving.experts.backbone import shared_network
        from serving.experts.graph import Graph, build_heads
        from serving.experts.modules import make_runner

        graph = Graph(shared_network(model.backbone, layers), build_heads(heads))
        return make_runner(graph, *model.preprocessing.shape, self.wanted)

    def training_set(self) -> TrainingSet:
        """The normals it was fitted on, for teaching and absorbing.

        Raises:
            TrainingError: it was saved without them.
        """
        if self.keep is None:
            raise TrainingError(
                f"the expert of {self.product!r} has no training set: train it again with this "
                "version"
            )
        return self.keep()

    def untaught(self) -> "ComposedExpert":
        """The expert without the taught head, calibrated as training did."""
        model = self.model
        if model.taught is None:
            return self
        fused = fuse_surprises(self.training_set().held_out, model.roles)
        scores = model.preprocessing.per_image(fused)
        parts = self.training_set().parts[:: model.preprocessing.tiles]
        calibration = calibrate(scores, parts, model.calibration.asked_rate)
        trained = {k: v for k, v in model.trained.items() if k != TAUGHT}
        plain = replace(model, taught=None, calibration=calibration, trained=trained)
        return ComposedExpert(plain, self.wanted, keep=self.keep)

    def held_out_scores(self) -> Scores:
        """(N,) score of each photograph of the training set, by heads that had not seen its part.

        Raises:
            TrainingError: it was saved without its training set.
        """
        taught, model = self.model.taught, self.model
        fused = fuse_surprises(self.training_set().held_out, model.roles)
        return model.preprocessing.per_image(
            taught.add(fused, taught.held_out()) if taught else fused
        )

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

    @property
    def bit_depth(self) -> int | None:
        """Bits of the camera's pixels in 16-bit files, as in training."""
        return self.model.preprocessing.bits

    @property
    def memory_bytes(self) -> int:
        """What its heads take, bytes; the backbone is shared with other products."""
        return sum(head.nbytes for head in self.model.all_heads.values())

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
        by_tile, taught = self._surprises(found), self.model.taught
        by_head = fuse_surprises(by_tile, self.model.roles)
        fused = shape.per_image(taught.add(by_head, by_tile[TAUGHT]) if taught else by_head)
        heads = {k: shape.per_image(v) for k, v in by_tile.items()}
        values = shape.stitch(self._map(found)) if maps else None
        timings = split_time(started, prepared, inferred, len(images))
        share = taught.region_share if taught else 0.0
        return answer(images, fused, values, self.model.calibration, timings, heads, share)

    def look(self, batch: Image) -> tuple[dict[str, Floats], dict[str, Scores]]:
        """Standardised maps and surprises by head of prepared pictures (N, H, W, 3)."""
        found = self._runner(batch)
        return found, self._surprises(found)

    def _surprises(self, found: Mapping[str, Floats]) -> dict[str, Scores]:
        seen = {k: head_surprise(found[k], r) for k, r in self._references.items()}
        taught = self.model.taught
        return seen if taught is None else {**seen, TAUGHT: taught.surprise(found[TAUGHT])}

    def _map(self, found: Mapping[str, Floats]) -> Floats:
        fused, taught = fuse_maps(found, *self.model.map_parts), self.model.taught
        return fused if taught is None else taught.join(fused, found[TAUGHT])
