"""Regions as the shipped product draws them: by an expert that was taught the same exemplars."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from lab.datasets.folders import Dataset
from lab.datasets.masks import true_mask
from lab.velm.answers_cache import Cache, digest_code, digest_json
from lab.velm.fewshot_material import FewShotError, learn_normals
from lab.velm.regions import outlined
from serving.experts.composed import ComposedExpert
from serving.experts.expert import Expert, answer
from serving.experts.images import read_image
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture, Teacher
from serving.experts.types import Mask
from serving.naming.background import Background
from serving.naming.describing import pool, region_cells
from serving.naming.features import Floats, load_extractor, one
from streams.events import Inspection
from streams.regions import region_mask

KIND: Final = "fewshot taught"
Rows = npt.NDArray[np.int64]


def can_be_taught(expert: Expert | None) -> bool:
    """Whether an expert keeps its training set, and sees a picture as one."""
    if not isinstance(expert, ComposedExpert) or expert.keep is None:
        return False
    return expert.model.preprocessing.tiles == 1


class TaughtRegions:
    """Teaches the expert the exemplars of an episode and lets it outline the queries.

    Args:
        dataset: its anomalous test pictures, in this order, are what rows number.
        expert: taught anew for every episode; it never sees a query's label or mask.
        cache: of earlier episodes, by content and code.
        report: told of every step.

    Raises:
        FewShotError: see ``can_be_taught``.
    """

    def __init__(self, dataset: Dataset, expert: Expert | None, cache: Cache, report: Progress):
        if not isinstance(expert, ComposedExpert) or not can_be_taught(expert):
            raise FewShotError(
                "no taught regions: the expert is not of kind patchcore, cuts its pictures into "
                "tiles, or was saved without its training set"
            )
        self._dataset, self._expert = dataset, expert
        self._samples = [s for s in dataset.test if s.anomalous]
        self._cache, self._report = cache, report
        code = digest_code("serving/experts/**/*.py", "lab/velm/fewshot_taught.py")
        shown = [s.digest for s in self._samples]
        self._key = digest_json(expert.version, code, shown)
        self._done = 0

    def inspections(self, exemplars: Rows, queries: Rows) -> dict[int, Inspection]:
        """What the expert that was taught the exemplars says of each query, by row."""
        rows = sorted(exemplars.tolist())
        key = digest_json(self._key, rows, sorted(queries.tolist()))
        found = self._cache.get(KIND, key, dict[int, Inspection])
        if found is None:
            found = self._taught(rows, queries.tolist())
            self._cache.put(KIND, key, found)
        self._done += 1
        self._report("episodes with a taught expert", self._done, self._done)
        return found

    def vector(self, row: int, seen: Inspection) -> Floats:
        """The query as the classifier describes it, with that region."""
        deviations, odd = self._described[row]
        mask = region_mask(seen.region) if seen.region is not None else np.ones((1, 1), np.bool_)
        return pool(deviations, region_cells(mask, odd), self._background)

    def _taught(self, exemplars: Sequence[int], queries: Sequence[int]) -> dict[int, Inspection]:
        expert = self._teacher.teach([self._pictures[row] for row in exemplars])
        model = expert.model
        assert model.taught is not None
        found = {}
        for row in queries:
            picture = self._pictures[row]
            seen = self._teacher.see(picture)  # its mask marks cells that no direction is made of
            maps = model.taught.join(seen.fused[None], seen.maps(model.taught.directions))
            scores = np.array([seen.score(model)])
            (said,) = answer([picture.image], scores, maps, model.calibration, {})
            _, found[row] = outlined(said, maps[0], share=model.taught.region_share)
        return found

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self._expert, self._report)

    @cached_property
    def _pictures(self) -> list[LabelledPicture]:
        """With the masks that the data set has, as a plant marks its exemplars."""
        found = []
        for sample in self._samples:
            image = read_image(sample.path, self._expert.bit_depth)
            mask = true_mask(sample, image) if sample.mask is not None else None
            found.append(LabelledPicture(image, sample.label, mask, sample.part))
        return found

    @cached_property
    def _background(self) -> Background:
        return learn_normals(self._dataset, self._report)

    @cached_property
    def _described(self) -> list[tuple[Mapping[str, Floats], Mask | None]]:
        """Each picture's deviations from normal, and its odd cells."""
        extractor, background = load_extractor(), self._background
        found: list[tuple[Mapping[str, Floats], Mask | None]] = []
        for i, sample in enumerate(self._samples):
            features = one(extractor.features([read_image(sample.path)]), 0)
            found.append((background.deviation(features), background.odd_cells(features)))
            self._report("deviations", i + 1, len(self._samples))
        return found
