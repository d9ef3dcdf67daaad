"""Teaching the local classifier: from labelled pictures to a saved bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from serving.classifiers.exemplars import (
    ExemplarBundle,
    ExemplarError,
    NormalReference,
    latest,
    load_bundle,
    teach,
)
from serving.classifiers.features import DEFAULT_BACKBONE, learn_normals, load_extractor
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image
from streams.regions import Mask

NORMAL_LIMIT: Final = 128
"""Normal pictures from which the cells' means are learned; more change nothing that is seen."""


@dataclass(frozen=True)
class Lesson:
    """One labelled picture. ``mask`` None: the teacher's outliner, or the whole picture."""

    class_name: str
    image: bytes
    mask: Mask | None = None
    part: str = ""
    name: str = ""
    """What error messages call the picture: a file name, a frame id."""


class Outliner(Protocol):
    """Finds the odd region of a picture: a trained vision expert."""

    def __call__(self, image: npt.NDArray[np.uint8]) -> Mask | None:
        """Bool mask at any resolution; None when nothing is odd."""
        ...


def teach_product(
    root: Path,
    product_id: str,
    lessons: Sequence[Lesson],
    *,
    normals: Sequence[bytes] = (),
    outline: Outliner | None = None,
    backbone: str = DEFAULT_BACKBONE,
    afresh: bool = False,
) -> Path:
    """Add lessons to the product's latest bundle under ``root`` and save the new one.

    Args:
        normals: encoded normal pictures; replace what the bundle knew of normal when given.
        afresh: begin with an empty bundle.

    Returns:
        The folder of the new bundle; its name is the digest.

    Raises:
        ExemplarError: a picture that cannot be decoded, or a class name that cannot be used.
    """
    before = None if afresh else latest(root, product_id)
    bundle = load_bundle(before) if before else ExemplarBundle(product_id, backbone)
    if normals:
        bundle = replace(bundle, normals=learn_normals_of(bundle.backbone, normals))
    for class_name in dict.fromkeys(lesson.class_name for lesson in lessons):
        chosen = [lesson for lesson in lessons if lesson.class_name == class_name]
        bundle = teach(
            bundle, class_name, [(x.image, _mask(x, outline), x.part or x.name) for x in chosen]
        )
    return bundle.save(root)


def learn_normals_of(backbone: str, normals: Sequence[bytes]) -> NormalReference:
    """What normal looks like, from at most ``NORMAL_LIMIT`` evenly chosen pictures."""
    chosen = np.linspace(0, len(normals) - 1, min(NORMAL_LIMIT, len(normals))).round().astype(int)
    encoded = [normals[i] for i in chosen]
    decoded = [
        _decode(image, f"normal picture {i}") for i, image in zip(chosen, encoded, strict=True)
    ]
    return learn_normals(load_extractor(backbone), encoded, decoded)


def _mask(lesson: Lesson, outline: Outliner | None) -> Mask:
    image = _decode(lesson.image, lesson.name or "picture")
    mask = lesson.mask
    if mask is None and outline is not None:
        mask = outline(image)
    if mask is None or not mask.any():
        return np.ones(image.shape[:2], np.bool_)
    return mask


def _decode(image: bytes, name: str) -> npt.NDArray[np.uint8]:
    try:
        return decode_image(image)
    except UndecodableImage as error:
        raise ExemplarError(f"{name}: {error}") from error
