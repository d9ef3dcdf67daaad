"""What the classifiers of an evaluation learn from: exemplar bundles, and reference pictures."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import RootModel

from lab.datasets.masks import true_mask
from lab.velm.answers_cache import Cache, digest_of
from lab.velm.pipeline import ObjectRun
from lab.velm.pipeline_inspect import Inspected
from serving.bundles import MANIFEST
from serving.experts.images import read_image
from serving.naming.prototypes import NearestReferences
from serving.naming.teaching import NORMAL_LIMIT, Lesson, teach_product
from streams.regions import Mask, region_mask

KIND = "bundle"


class _Kept(RootModel[Path]):
    """Where a bundle lies."""


def make_bundle(run: ObjectRun, exemplars: Sequence[Inspected], oracle: bool, cache: Cache) -> Path:
    """The folder of a bundle of exemplars and normal pictures, made once and kept.

    Args:
        exemplars: may be empty, where only the nearest normal picture is wanted.
        oracle: exemplars' regions are the masks; else what the expert outlined.
    """
    chosen = np.linspace(0, len(run.dataset.train) - 1, min(NORMAL_LIMIT, len(run.dataset.train)))
    normals = [run.dataset.train[i] for i in chosen.round().astype(int)]
    bodies = [s.path.read_bytes() for s in normals]
    key = digest_of(
        run.name,
        [hashlib.sha256(b).hexdigest() for b in bodies],
        [s.group for s in normals],
        [[e.sha256, e.item.sample.label, e.item.sample.group] for e in exemplars],
        [_region_of(e) for e in exemplars],
        oracle,
    )
    known = cache.get(KIND, key, _Kept)
    if known is not None and (known.root / MANIFEST).is_file():
        return known.root
    path = teach_product(
        cache.path.parent / "bundles",
        run.name,
        [_lesson(e, oracle) for e in exemplars],
        normals=bodies,
        normal_parts=[s.group or "" for s in normals],
        afresh=True,
    )
    cache.put(KIND, key, _Kept(path))
    return path


def _region_of(inspected: Inspected) -> str:
    region = inspected.inspection.region
    return region.mask_rle if region is not None else ""


def _lesson(inspected: Inspected, oracle: bool) -> Lesson:
    sample = inspected.item.sample
    region = inspected.inspection.region
    mask: Mask | None
    if oracle:
        mask = true_mask(sample, read_image(sample.path))
    else:
        mask = region_mask(region) if region is not None and region.mask_rle else None
    body = sample.path.read_bytes()
    return Lesson(
        sample.label, body, mask, sample.group or sample.path.name, sample.path.name, oracle
    )


class RandomTrainingPicture:
    """A random training picture as reference, as in the paper (section 4.2).

    The draw depends on the seed and the query's bytes only, so that a run can be resumed.
    """

    def __init__(self, run: ObjectRun, seed: int) -> None:
        self._paths = [s.path for s in run.dataset.train]
        self._seed = seed

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """One of the training pictures."""
        digest = hashlib.sha256(image).hexdigest()
        return random.Random(f"{self._seed}/{digest}").choice(self._paths).read_bytes()

    @property
    def identity(self) -> object:
        """What the draw depends on."""
        return [self._seed, [[p.name, p.stat().st_size] for p in self._paths]]


class NearestInBundle(NearestReferences):
    """The bundle's normal picture nearest to the query, as on the line."""

    def __init__(self, name: str, bundle: Path) -> None:
        super().__init__({name: bundle})
        self._bundle = bundle

    @property
    def identity(self) -> object:
        """The bundle's digest, which its folder is named by."""
        return self._bundle.name
