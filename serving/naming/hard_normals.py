"""Normal pictures that look odd to an expert: the oddest of those it was trained on.

The expert's held-out scores say which; a photograph is found among the prepared pictures of the
training set by what it becomes when it is prepared.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from serving.experts.composed import ComposedExpert
from serving.experts.images import decode_image
from serving.experts.regions import make_region
from serving.experts.types import Image, Mask
from serving.naming.exemplars import HardNormal
from serving.naming.false_alarms import Gate

MOST: Final = 200
"""Hard normals kept, of more evenly chosen by score: each costs about 30 ms when a bundle loads."""
_BATCH: Final = 8
_CUT: Final = 1.0
"""Map value at which an expert outlines."""


def held_out_gate(expert: ComposedExpert) -> Gate:
    """The expert's held-out scores, as they are kept beside the hard normals.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    parts = set(expert.training_set().parts)
    scores = tuple(round(float(score), 6) for score in expert.held_out_scores())
    return Gate(expert.version, len(parts), scores)


def hard_normals(expert: ComposedExpert, pictures: Sequence[bytes]) -> tuple[HardNormal, ...]:
    """Those of the pictures that the expert would have sent on before it had seen their part.

    Args:
        expert: trained on the pictures; others are left out, for they were not held out.
        pictures: encoded normal photographs.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    training, shape = expert.training_set(), expert.model.preprocessing
    tiles = training.tiles
    row_of = {
        _digest(training.pixels[row * tiles : (row + 1) * tiles]): row
        for row in range(len(training.files))
    }
    scores, threshold = expert.held_out_scores(), expert.model.calibration.threshold
    parts = training.parts[::tiles]
    sizes = Counter(parts)
    rows = [row_of.get(_digest(shape.cut(decode_image(picture)))) for picture in pictures]
    found = {row: i for i, row in enumerate(rows) if row is not None and scores[row] > threshold}
    sent = sorted(found.items(), key=lambda item: float(scores[item[0]]))
    kept = _evenly(sent, MOST)
    shares = np.array([1 / sizes[part] for part in parts])
    stands_for = shares[scores > threshold].sum() / max(sum(shares[row] for row, _ in kept), 1e-9)
    outlined = _outlines(expert, [pictures[i] for _, i in kept])
    return tuple(
        HardNormal(
            image=pictures[i],
            mask=mask,
            part=parts[row],
            score=float(scores[row]),
            weight=float(stands_for * shares[row]),
        )
        for (row, i), mask in zip(kept, outlined, strict=True)
    )


def _evenly(sent: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    if len(sent) <= most:
        return sent
    return [sent[i] for i in np.linspace(0, len(sent) - 1, most).round().astype(int)]


def _outlines(expert: ComposedExpert, pictures: Sequence[bytes]) -> list[Mask]:
    """Where each looks odd, also where the expert, having learned it, no longer objects."""
    masks = []
    for start in range(0, len(pictures), _BATCH):
        images = [decode_image(picture) for picture in pictures[start : start + _BATCH]]
        for image, answer in zip(images, expert.score(images), strict=True):
            assert answer.anomaly_map is not None
            values = answer.anomaly_map
            mask = make_region(values, _CUT, *image.shape[:2]).mask
            masks.append(mask if mask.any() else values == values.max())
    return masks


def _digest(prepared: Image) -> str:
    return hashlib.sha256(np.ascontiguousarray(prepared).tobytes()).hexdigest()
