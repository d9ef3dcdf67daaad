"""A candidate: the expert in force, taught with all that people have said of parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from andon.learning.errors import LearningError
from andon.learning.figures import JudgedTwice
from andon.learning.lessons import MOST_PER_CLASS, ReviewedPicture, choose
from andon.learning.suspects import SuspectLabel, find_suspects
from serving.bundles import digest_of
from serving.experts.composed import ComposedExpert
from serving.experts.errors import ExpertError
from serving.experts.expert import Expert
from serving.experts.images import decode_image
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture, Teacher
from serving.experts.types import Image, Scored
from serving.naming.exemplars import Exemplar, ExemplarBundle, Normal, teach
from serving.naming.features import whole
from serving.naming.teaching import choose_normals
from streams.regions import Mask

BATCH = 8


@dataclass(frozen=True, eq=False)
class Candidate:
    """A taught expert with the exemplars that belong to it."""

    expert: ComposedExpert
    bundle: ExemplarBundle
    learned: tuple[str, ...]
    """Frames whose reviews it learned from."""
    false_alarms: tuple[Normal, ...]
    """Reviewed parts that look odd and are normal, the latest last."""


class Apprentice:
    """The expert in force, whose normals are described once, to be taught again and again.

    Args:
        expert: the expert in force.
        bundle: the exemplars in force: what is taught beside the reviews.
        progress: told of every step.

    Raises:
        LearningError: an expert that cannot be taught.
    """

    def __init__(
        self, expert: Expert, bundle: ExemplarBundle, progress: Progress | None = None
    ) -> None:
        if not isinstance(expert, ComposedExpert):
            raise LearningError(
                f"experts of kind {expert.name!r} cannot be taught; train one of kind patchcore"
            )
        self.expert, self.bundle = expert, bundle
        self._report = progress or (lambda stage, done, total: None)
        try:
            self._teacher = Teacher(expert, progress)
        except ExpertError as error:
            raise LearningError(f"the expert in force cannot be taught: {error}") from error

    def learn(
        self,
        pictures: Sequence[ReviewedPicture],
        most: int = MOST_PER_CLASS,
        unseen: Sequence[ReviewedPicture] = (),
    ) -> Candidate:
        """A candidate from the exemplars in force and these reviews.

        Args:
            pictures: reviewed photographs; defects teach, normals are what must not be found.
            most: photographs of each class that the reviews may add.
            unseen: what it will be judged on: exemplars in force of these parts teach nothing.
        """
        chosen = choose(pictures, most)
        normals = [p for p in pictures if not p.is_defect]
        judged = {exemplar.sha256 for exemplar in showing(self.bundle.exemplars, unseen)}
        others = [e for e in self.bundle.exemplars if e.sha256 not in judged]
        kept = _corrected(others, pictures)
        before = replace(self.bundle, exemplars=kept)
        if not before.normals and normals:
            good = [p.image for p in normals]
            before = replace(before, normals=choose_normals(good, [p.part for p in normals]))
        origins = {exemplar.origin for exemplar in kept}
        fresh = [p for p in chosen if digest_of(p.image) not in origins]
        bundle = teach(before, [_exemplar(picture) for picture in fresh])
        bits = self.expert.bit_depth
        expert = self._teacher.teach(
            [labelled_picture(exemplar, bits) for exemplar in bundle.exemplars],
            [LabelledPicture(decode_image(p.image, bits), "normal", None, p.part) for p in normals],
        )
        learned = (*(p.frame for p in chosen), *(p.frame for p in normals))
        return Candidate(expert, bundle, learned, _false_alarms(normals))


def showing(exemplars: Sequence[Exemplar], pictures: Sequence[ReviewedPicture]) -> list[Exemplar]:
    """The exemplars that show the part of any of the pictures."""
    parts = {picture.part for picture in pictures if picture.part}
    digests = {digest_of(picture.image) for picture in pictures}
    return [e for e in exemplars if e.part in parts or {e.sha256, e.origin} & digests]


def _corrected(
    exemplars: Sequence[Exemplar], pictures: Sequence[ReviewedPicture]
) -> tuple[Exemplar, ...]:
    """The exemplars as the reviews name them, without those that are normal.

    One that was made from a photograph, to show it under a new light, stands for it.
    """
    said = {digest_of(picture.image): picture.class_name for picture in pictures}
    named = [
        replace(e, class_name=said.get(e.origin, said.get(e.sha256, e.class_name)))
        for e in exemplars
    ]
    return tuple(exemplar for exemplar in named if exemplar.class_name)


def _false_alarms(normals: Sequence[ReviewedPicture]) -> tuple[Normal, ...]:
    """Those that an expert outlined: what was never odd says nothing of false alarms."""
    odd = [p for p in normals if p.outline is not None and p.outline.any()]
    return tuple(Normal(p.image, p.part) for p in sorted(odd, key=lambda p: p.at))


def compare(
    before: Expert,
    after: Expert,
    pictures: Sequence[ReviewedPicture],
    progress: Progress | None = None,
) -> tuple[list[JudgedTwice], list[tuple[Scored, Scored]]]:
    """Each picture judged by the expert in force and by the candidate."""
    verdicts: list[JudgedTwice] = []
    scored: list[tuple[Scored, Scored]] = []
    for start in range(0, len(pictures), BATCH):
        some = pictures[start : start + BATCH]
        images = [decode_image(p.image, before.bit_depth) for p in some]
        for picture, old, new in zip(some, before.score(images), after.score(images), strict=True):
            verdicts.append(
                JudgedTwice(
                    picture.frame,
                    picture.part,
                    picture.class_name,
                    old.anomalous,
                    new.anomalous,
                    old.score / old.threshold,
                    new.score / new.threshold,
                )
            )
            scored.append((old, new))
        if progress is not None:
            progress("judge", len(verdicts), len(pictures))
    return verdicts, scored


def suspects_of(bundle: ExemplarBundle) -> list[SuspectLabel]:
    """Exemplars of a bundle that disagree with their class, worst first."""
    from serving.naming.describing import describe_exemplars

    marked = [i for i, e in enumerate(bundle.exemplars) if not e.mask.all()]
    if not marked:
        return []
    examples = [bundle.exemplars[i] for i in marked]
    vectors = describe_exemplars(bundle, examples)
    labels = [e.class_name for e in examples]
    found = find_suspects(vectors, labels, [e.part or e.sha256 for e in examples])
    return [replace(d, index=marked[d.index], nearest=marked[d.nearest]) for d in found]


def _exemplar(picture: ReviewedPicture) -> Exemplar:
    mask = picture.outline
    if mask is None or not mask.any():
        return Exemplar(
            picture.class_name,
            picture.image,
            whole(decode_image(picture.image)),
            picture.part,
            drawn=False,
        )
    return Exemplar(picture.class_name, picture.image, mask, picture.part, picture.drawn)


def labelled_picture(
    exemplar: Exemplar, bits: int | None = None, drawn_only: bool = False
) -> LabelledPicture:
    """An exemplar as the expert is taught it: a mask that covers all of it marks nothing.

    Args:
        exemplar: labelled, drawn by a person or outlined by an expert.
        bits: the expert's ``bit_depth``.
        drawn_only: an outline that nobody drew marks nothing either; the expert looks by itself.
    """
    image = decode_image(exemplar.image, bits)
    unmarked = exemplar.mask.all() or (drawn_only and not exemplar.drawn)
    mask = None if unmarked else _of_shape(exemplar.mask, image)
    return LabelledPicture(image, exemplar.class_name, mask, exemplar.part)


def _of_shape(mask: Mask, image: Image) -> Mask:
    height, width = image.shape[:2]
    if mask.shape == (height, width):
        return mask
    large = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0.5, np.bool_)
