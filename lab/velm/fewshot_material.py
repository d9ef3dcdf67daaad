"""What a few-shot evaluation needs of every picture, computed once and kept on disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from pydantic import BaseModel, RootModel

from lab.datasets.folders import Dataset, Sample
from lab.datasets.masks import true_mask
from lab.velm.answers_cache import Cache
from lab.velm.regions import CUT, MASK_CUT, inspection_of
from serving.experts.expert import Expert
from serving.experts.images import decode_image, read_image
from serving.experts.regions import make_region
from serving.experts.types import Mask, Scored
from serving.naming.background import Background
from serving.naming.describing import describe_picture
from serving.naming.features import Floats, Image, extract, load_extractor, one
from serving.naming.teaching import choose_normals
from streams.errors import AndonError
from streams.events import Inspection

TRUE: Final = "true"
EXPERT: Final = "expert"
SOURCES: Final = (TRUE, EXPERT)
"""Where regions come from: drawn by a person, or outlined by the vision expert."""

Progress = Callable[[str, int, int], None]
KIND: Final = "fewshot"
_BATCH: Final = 8


class FewShotError(AndonError):
    """The data set does not allow the evaluation; the message says what is missing."""


@dataclass(frozen=True)
class Example:
    """One anomalous picture, described under each source of regions."""

    label: str
    part: str
    path: str
    vectors: Mapping[str, Floats]
    inspections: Mapping[str, Inspection]
    """What the policy sees; ``anomalous`` is the expert's word."""


class _KeptExample(BaseModel):
    label: str
    part: str
    path: str
    vectors: dict[str, list[float]]
    inspections: dict[str, Inspection]


class _Kept(RootModel[list[_KeptExample]]):
    @classmethod
    def of(cls, examples: Sequence[Example]) -> Self:
        return cls(
            [
                _KeptExample(
                    label=e.label,
                    part=e.part,
                    path=e.path,
                    vectors={source: vector.tolist() for source, vector in e.vectors.items()},
                    inspections=dict(e.inspections),
                )
                for e in examples
            ]
        )

    def examples(self) -> list[Example]:
        return [
            Example(
                e.label,
                e.part,
                e.path,
                {source: np.array(vector, np.float32) for source, vector in e.vectors.items()},
                e.inspections,
            )
            for e in self.root
        ]


def gather(
    dataset: Dataset,
    expert: Expert | None,
    cache: Cache | None = None,
    report: Progress = lambda stage, done, total: None,
) -> list[Example]:
    """Describe every anomalous picture of the test set.

    Args:
        expert: outlines regions; None leaves the source ``expert`` out.
        cache: of earlier results, by content and code.

    Raises:
        FewShotError: no parts are known, or no anomalous pictures.
    """
    samples = [s for s in dataset.test if s.anomalous]
    if not samples:
        raise FewShotError(f"{dataset.name}: no anomalous pictures in the test set")
    if any(s.group is None for s in samples):
        raise FewShotError(
            f"{dataset.name}: parts.csv must name the part of every picture, "
            "so that exemplars and queries show different parts"
        )
    key = _fingerprint(dataset, expert)
    kept = cache.get(KIND, key, _Kept) if cache is not None else None
    if kept is None:
        background = _background(dataset, report)
        examples = list(_describe(samples, background, expert, report))
        kept = _Kept.of(examples)
        if cache is not None:
            cache.put(KIND, key, kept)
    return kept.examples()


def _background(dataset: Dataset, report: Progress) -> Background:
    """Learned from as many of the training pictures as a bundle would keep."""
    normals = choose_normals(
        [s.path.read_bytes() for s in dataset.train], [s.group or "" for s in dataset.train]
    )
    extractor = load_extractor()
    parts = []
    for start in range(0, len(normals.images), _BATCH):
        images = [decode_image(image) for image in normals.images[start : start + _BATCH]]
        parts.append(extractor.features(images))
        report("normal pictures", start + len(images), len(normals.images))
    features = {layer: np.concatenate([p[layer] for p in parts]) for layer in parts[0]}
    groups = [p or d for p, d in zip(normals.parts, normals.digests, strict=True)]
    return Background.learn(features, groups)


def _describe(
    samples: Sequence[Sample], background: Background, expert: Expert | None, report: Progress
) -> Iterator[Example]:
    extractor = load_extractor()
    for start in range(0, len(samples), _BATCH):
        chosen = samples[start : start + _BATCH]
        images = [read_image(s.path) for s in chosen]
        features = extract(extractor, images)
        scored = expert.score(images) if expert is not None else [None] * len(images)
        for i, (sample, image, answer) in enumerate(zip(chosen, images, scored, strict=True)):
            regions = _regions(sample, image, answer)
            vectors = {
                source: describe_picture(
                    one(features, i), mask, background, refine=source == EXPERT
                )
                for source, (mask, _) in regions.items()
            }
            seen = {source: inspection for source, (_, inspection) in regions.items()}
            yield Example(sample.label, str(sample.group), sample.path.name, vectors, seen)
        report("pictures", start + len(chosen), len(samples))


def _regions(
    sample: Sample, image: Image, scored: Scored | None
) -> dict[str, tuple[Mask, Inspection]]:
    mask = true_mask(sample, image)
    found = {TRUE: (mask, inspection_of(mask.astype(np.float32), MASK_CUT, image, None))}
    if scored is not None and scored.anomaly_map is not None:
        values = scored.anomaly_map
        region = make_region(values, CUT, *image.shape[:2])
        found[EXPERT] = (region.mask, inspection_of(values, CUT, image, scored))
    return found


def _fingerprint(dataset: Dataset, expert: Expert | None) -> str:
    digest = hashlib.sha256((expert.version if expert else "").encode())
    here = Path(__file__).parents[2]
    for source in sorted([*(here / "serving/naming").glob("*.py"), Path(__file__)]):
        digest.update(source.read_bytes())
    for sample in (*dataset.train, *dataset.test):
        digest.update(f"{sample.path.name}\0{sample.group}\0".encode())
        digest.update(sample.path.read_bytes())
        if sample.mask is not None:
            digest.update(sample.mask.read_bytes())
    return digest.hexdigest()[:32]
