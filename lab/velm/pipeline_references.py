"""What the classifiers of an evaluation learn from: exemplar bundles, and reference pictures."""

import random
from pathlib import Path

import numpy as np

from lab.datasets.masks import true_mask
from lab.velm.answers_cache import Cache, digest_json
from lab.velm.pipeline import ObjectRun
from lab.velm.pipeline_inspect import Inspected, InspectedObject
from serving.bundles import MANIFEST, digest_of
from serving.experts.images import read_image
from serving.naming.teaching import NORMAL_LIMIT, Lesson, teach_product
from streams.regions import Mask, region_mask

KIND = "bundle"


def make_bundle(inspected: InspectedObject, oracle: bool, cache: Cache) -> Path:
    """The folder of a bundle of exemplars and normal pictures, made once and kept.

    Args:
        inspected: has no exemplars where only the nearest normal picture is wanted.
        oracle: exemplars' regions are the masks; else what the expert outlined.
    """
    run, exemplars = inspected.run, inspected.exemplars
    chosen = np.linspace(0, len(run.dataset.train) - 1, min(NORMAL_LIMIT, len(run.dataset.train)))
    normals = [run.dataset.train[i] for i in chosen.round().astype(int)]
    bodies = [s.path.read_bytes() for s in normals]
    taught = [(e.sha256, e.item.sample, e.inspection.region) for e in exemplars]
    key = digest_json(
        run.name,
        [[digest_of(body), s.group] for body, s in zip(bodies, normals, strict=True)],
        [[sha, s.label, s.group, region and region.mask_rle] for sha, s, region in taught],
        oracle,
    )
    known = cache.get(KIND, key, Path)
    if known is not None and (known / MANIFEST).is_file():
        return known
    path = teach_product(
        cache.path.parent / "bundles",
        run.name,
        [_lesson(e, oracle) for e in exemplars],
        normals=bodies,
        normal_parts=[s.group or "" for s in normals],
    )
    cache.put(KIND, key, path)
    return path


def _lesson(inspected: Inspected, oracle: bool) -> Lesson:
    sample, region = inspected.item.sample, inspected.inspection.region
    mask: Mask | None = None
    if oracle:
        mask = true_mask(sample, read_image(sample.path))
    elif region is not None and region.mask_rle:
        mask = region_mask(region)
    body, name = sample.path.read_bytes(), sample.path.name
    return Lesson(sample.label, body, mask, sample.group or name, name, oracle)


class RandomTrainingPicture:
    """A random training picture as reference, as in the paper (section 4.2).

    The draw depends on the seed and the query's bytes only, so that a run can be resumed.
    """

    def __init__(self, run: ObjectRun, seed: int) -> None:
        self._paths = [s.path for s in run.dataset.train]
        self._seed = seed

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """One of the training pictures."""
        return random.Random(f"{self._seed}/{digest_of(image)}").choice(self._paths).read_bytes()

    @property
    def identity(self) -> object:
        """What the draw depends on."""
        return [self._seed, [[p.name, p.stat().st_size] for p in self._paths]]
