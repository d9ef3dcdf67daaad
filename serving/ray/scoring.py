"""Scoring the pictures of a batch, in the thread of a replica that scores. Plain functions."""

import time
from dataclasses import dataclass

from serving.experts.look import measure_look
from serving.experts.types import Image
from serving.ray.inspections import to_failure, to_inspection
from serving.ray.residents import Loaded
from streams.events import Inspection
from streams.masking import masking_logger
from streams.ports import Failure

log = masking_logger(__name__)

Answer = Inspection | Failure


@dataclass(frozen=True, eq=False)
class Group:
    """Pictures of one product in a batch, and their places there."""

    loaded: Loaded
    places: list[int]
    images: list[Image]
    timings: list[dict[str, float]]
    """What each took before it is scored, by stage, milliseconds."""


def score_groups(work: list[Group]) -> list[list[Answer]]:
    """The answers of each group, in the order of its pictures; nothing is raised."""
    return [_score_safely(group.loaded, group.images, group.timings) for group in work]


def _score_safely(
    loaded: Loaded, images: list[Image], timings: list[dict[str, float]]
) -> list[Answer]:
    """Score a batch; when it fails, each image alone, so that one cannot fail the others."""
    started = time.perf_counter()
    try:
        scored = loaded.expert.score(images)
        each = (time.perf_counter() - started) * 1000 / len(images)
        name, version = loaded.expert.name, loaded.version
        return [
            to_inspection(s, name, version, {**t, "score": each, **s.timings_ms}, measure_look(i))
            for s, t, i in zip(scored, timings, images, strict=True)
        ]
    except Exception as error:
        if len(images) == 1:
            log.exception("scoring failed")
            return [to_failure(error)]
    return [
        answer
        for image, timing in zip(images, timings, strict=True)
        for answer in _score_safely(loaded, [image], [timing])
    ]
