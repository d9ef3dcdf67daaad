"""Normal pictures that look odd to an expert: what a false alarm looks like.

Most are the oddest of the normals that it was trained on. The expert's held-out scores say which; a
photograph is found among the prepared pictures of the training set by what it becomes when it is
prepared. The others are parts of the line that people reviewed as false alarms.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from serving.experts.composed import ComposedExpert
from serving.experts.images import decode_image
from serving.experts.regions import make_region
from serving.experts.types import Image, Mask
from serving.naming.exemplars import ExemplarBundle, HardNormal, Normal
from serving.naming.false_alarms import Gate

MOST: Final = 200
"""Hard normals kept, of more evenly chosen by score: each costs about 30 ms when a bundle loads."""
MOST_REVIEWED: Final = 64
"""Reviewed false alarms kept beside them, the latest."""
_BATCH: Final = 8
_CUT: Final = 1.0
"""Map value at which an expert outlines."""


def pair(
    bundle: ExemplarBundle,
    expert: ComposedExpert,
    normals: Sequence[bytes] = (),
    reviewed: Sequence[Normal] = (),
    rows: Sequence[int | None] | None = None,
    parts: Sequence[str] = (),
) -> ExemplarBundle:
    """The bundle calibrated with an expert: its held-out scores and its hard normals.

    Args:
        bundle: the exemplars; false alarms that were reviewed before stay in it.
        expert: the one that sends parts to the classifier.
        normals: encoded photographs that it was trained on; without any, the bundle's.
        reviewed: further parts that people called false alarms, the latest last.
        rows: the place of each photograph in the expert's training set, where its pixels do not
            say so; see ``training_rows``.
        parts: the part of each photograph as the bundle's normals call it, empty where unknown:
            what a hard normal is compared with leaves its part out by this name.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    shown = [*normals]
    if not shown:
        kept: tuple[Normal | HardNormal, ...] = (*bundle.normals, *bundle.hard)
        shown, parts = [p.image for p in kept], [p.part for p in kept]
    defects = {exemplar.sha256 for exemplar in bundle.exemplars}
    before = [Normal(h.image, h.part) for h in bundle.hard if h.reviewed]
    alarms = {n.sha256: n for n in (*before, *reviewed) if n.sha256 not in defects}
    latest = list(alarms.values())[-MOST_REVIEWED:]
    hard = (*hard_normals(expert, shown, rows, parts), *reviewed_normals(expert, latest))
    return replace(bundle, hard=hard, gate=held_out_gate(expert))


def held_out_gate(expert: ComposedExpert) -> Gate:
    """The expert's held-out scores, as they are kept beside the hard normals.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    parts = set(expert.training_set().parts)
    scores = tuple(round(float(score), 6) for score in expert.held_out_scores())
    return Gate(expert.version, len(parts), scores)


def training_rows(expert: ComposedExpert, pictures: Sequence[bytes]) -> list[int | None]:
    """The place of each encoded photograph in the expert's training set; None where it is not.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    training, shape = expert.training_set(), expert.model.preprocessing
    tiles = training.tiles
    row_of = {
        _digest(training.pixels[row * tiles : (row + 1) * tiles]): row
        for row in range(len(training.files))
    }
    return [row_of.get(_digest(shape.cut(decode_image(p, expert.bit_depth)))) for p in pictures]


def known_parts(
    expert: ComposedExpert, rows: Sequence[int | None], told: Sequence[str] = ()
) -> list[str]:
    """The part of each photograph: as it was told, else as the training knows it, else empty.

    Args:
        expert: its training set has the ``rows``.
        rows: see ``training_rows``.
        told: empty where nobody said.
    """
    training = expert.training_set()
    trained = training.parts[:: training.tiles]
    said = told or [""] * len(rows)
    return [
        part or (trained[row] if row is not None else "")
        for part, row in zip(said, rows, strict=True)
    ]


def hard_normals(
    expert: ComposedExpert,
    pictures: Sequence[bytes],
    rows: Sequence[int | None] | None = None,
    told: Sequence[str] = (),
) -> tuple[HardNormal, ...]:
    """Those of the pictures that the expert would have sent on before it had seen their part.

    Args:
        expert: trained on the pictures; others are left out, for they were not held out.
        pictures: encoded normal photographs.
        rows: their places in the training set, found by their pixels where not given.
        told: their parts, see ``known_parts``; the first counts where pictures are the same.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    training = expert.training_set()
    rows = training_rows(expert, pictures) if rows is None else rows
    scores, threshold = expert.held_out_scores(), expert.model.calibration.threshold
    parts = training.parts[:: training.tiles]
    sizes, called = Counter(parts), dict[int, str]()
    for row, part in zip(rows, known_parts(expert, rows, told), strict=True):
        if row is not None:
            called.setdefault(row, part)
    found = {row: i for i, row in enumerate(rows) if row is not None and scores[row] > threshold}
    sent = sorted(found.items(), key=lambda item: float(scores[item[0]]))
    kept = _evenly(sent, MOST)
    shares = np.array([1 / sizes[part] for part in parts])
    stands_for = shares[scores > threshold].sum() / max(sum(shares[row] for row, _ in kept), 1e-9)
    seen = _seen(expert, [pictures[i] for _, i in kept])
    return tuple(
        HardNormal(
            image=pictures[i],
            mask=mask,
            part=called[row],
            score=float(scores[row]),
            weight=float(stands_for * shares[row]),
        )
        for (row, i), (_, mask) in zip(kept, seen, strict=True)
    )


def reviewed_normals(expert: ComposedExpert, alarms: Sequence[Normal]) -> tuple[HardNormal, ...]:
    """Reviewed false alarms as hard normals that stand for no part, see ``HardNormal.weight``."""
    seen = _seen(expert, [alarm.image for alarm in alarms])
    return tuple(
        HardNormal(alarm.image, mask, alarm.part or alarm.sha256, score, 0.0)
        for alarm, (score, mask) in zip(alarms, seen, strict=True)
    )


def _evenly(sent: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    if len(sent) <= most:
        return sent
    return [sent[i] for i in np.linspace(0, len(sent) - 1, most).round().astype(int)]


def _seen(expert: ComposedExpert, pictures: Sequence[bytes]) -> list[tuple[float, Mask]]:
    """Score, and where each looks odd, also where the expert, having learned it, is content."""
    found = []
    for start in range(0, len(pictures), _BATCH):
        some = pictures[start : start + _BATCH]
        images = [decode_image(picture, expert.bit_depth) for picture in some]
        for image, answer in zip(images, expert.score(images), strict=True):
            assert answer.anomaly_map is not None
            values = answer.anomaly_map
            mask = make_region(values, _CUT, *image.shape[:2]).mask
            found.append((answer.score, mask if mask.any() else values == values.max()))
    return found


def _digest(prepared: Image) -> str:
    return hashlib.sha256(np.ascontiguousarray(prepared).tobytes()).hexdigest()
