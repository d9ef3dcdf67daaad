"""What a few-shot evaluation needs of every picture, computed once and kept on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lab.datasets.folders import Dataset, Sample
from lab.velm.answers_cache import Cache, digest_code, digest_json
from lab.velm.regions import drawn, outlined
from serving.experts.expert import Expert
from serving.experts.images import decode_image, read_image
from serving.experts.options import Progress
from serving.experts.types import Mask, Scored
from serving.naming.background import Background
from serving.naming.describing import describe_example, describe_picture
from serving.naming.features import Image, extract, load_extractor, one
from serving.naming.teaching import choose_normals
from streams.errors import AndonError
from streams.events import Inspection

TRUE: Final = "true"
TAUGHT: Final = "taught"
DRAWN: Final = "drawn"
EXPERT: Final = "expert"
PROTOCOLS: Final = {
    TRUE: "exemplars and queries drawn by a person",
    TAUGHT: "exemplars drawn, queries outlined by the expert that was taught them: as shipped",
    DRAWN: "exemplars drawn, queries outlined by the untaught expert",
    EXPERT: "exemplars and queries outlined by the untaught expert",
}
"""Where regions come from."""

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
    vectors: Mapping[str, Sequence[float]]
    """As a query."""
    taught: Mapping[str, Sequence[float]]
    """As an exemplar."""
    inspections: Mapping[str, Inspection]
    """What the policy sees; ``anomalous`` is the expert's word."""


def gather(
    dataset: Dataset,
    expert: Expert | None,
    cache: Cache,
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
    code = digest_code("serving/naming/*.py", "lab/velm/fewshot_material.py")
    pictures = [s.digest for s in (*dataset.train, *dataset.test)]
    key = digest_json(expert.version if expert else "", code, pictures)
    examples = cache.get(KIND, key, list[Example])
    if examples is None:
        background = learn_normals(dataset, report)
        examples = list(_describe(samples, background, expert, report))
        cache.put(KIND, key, examples)
    return examples


def learn_normals(dataset: Dataset, report: Progress) -> Background:
    """Learned from as many of the training pictures as a bundle would keep."""
    normals = choose_normals(
        [s.path.read_bytes() for s in dataset.train], [s.group or "" for s in dataset.train]
    )
    extractor = load_extractor()
    parts = []
    for start in range(0, len(normals), _BATCH):
        images = [decode_image(n.image) for n in normals[start : start + _BATCH]]
        parts.append(extractor.features(images))
        report("normal pictures", start + len(images), len(normals))
    features = {layer: np.concatenate([p[layer] for p in parts]) for layer in parts[0]}
    groups = [n.part or n.sha256 for n in normals]
    return Background.learn(features, groups)


def _describe(
    samples: Sequence[Sample], background: Background, expert: Expert | None, report: Progress
) -> Iterator[Example]:
    extractor = load_extractor()
    for start in range(0, len(samples), _BATCH):
        chosen = samples[start : start + _BATCH]
        images = [read_image(s.path) for s in chosen]
        features = extract(extractor, images)
        scored = _scored(chosen, expert)
        for i, (sample, image, answer) in enumerate(zip(chosen, images, scored, strict=True)):
            regions = _regions(sample, image, answer)
            own = one(features, i)
            vectors, taught = {}, {}
            for source, (mask, _) in regions.items():
                is_drawn = source == TRUE
                query = describe_picture(own, mask, background, refine=not is_drawn)
                vectors[source] = query.tolist()
                taught[source] = describe_example(own, mask, background, drawn=is_drawn).tolist()
            seen = {source: inspection for source, (_, inspection) in regions.items()}
            if EXPERT in regions:
                vectors[DRAWN], seen[DRAWN] = vectors[EXPERT], seen[EXPERT]
                taught[DRAWN] = taught[TRUE]
            yield Example(sample.label, str(sample.group), sample.path.name, vectors, taught, seen)
        report("pictures", start + len(chosen), len(samples))


def _scored(samples: Sequence[Sample], expert: Expert | None) -> Sequence[Scored | None]:
    if expert is None:
        return [None] * len(samples)
    return expert.score([read_image(s.path, expert.bit_depth) for s in samples])


def _regions(
    sample: Sample, image: Image, scored: Scored | None
) -> dict[str, tuple[Mask, Inspection]]:
    found = {TRUE: drawn(sample, image)}
    if scored is not None and scored.anomaly_map is not None:
        found[EXPERT] = outlined(scored, scored.anomaly_map)
    return found
