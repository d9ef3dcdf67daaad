"""Teaching the local classifier: from labelled pictures to a saved bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from serving.experts.composed import ComposedExpert
from serving.experts.errors import UndecodableImage
from serving.experts.images import decode_image, fault_of_size
from serving.naming.exemplars import (
    Exemplar,
    ExemplarBundle,
    ExemplarError,
    Normal,
    check_class,
    load_bundle,
    teach,
)
from serving.naming.features import DEFAULT_BACKBONE, Image, whole
from serving.naming.hard_normals import known_parts, pair, training_rows
from streams.names import normal_form
from streams.regions import Mask

NORMAL_LIMIT: Final = 128
"""Normal pictures kept in a bundle; 64 cost 4 points of accuracy on magnetic tile."""
_KEPT_BYTES: Final = 256 << 10
_KEPT_SIDE: Final = 1024
JPEG_QUALITY: Final = 95
"""Of pictures that are made anew for a bundle."""


@dataclass(frozen=True)
class Lesson:
    """One labelled picture. ``mask`` None: the teacher's outliner, or the whole picture."""

    class_name: str
    image: bytes
    mask: Mask | None = None
    part: str = ""
    name: str = ""
    """What error messages call the picture: a file name, a frame id."""
    drawn: bool = True
    """A person drew ``mask``; False: an expert outlined it (a review from history)."""


Outliner = Callable[[bytes], Mask | None]
"""Finds the odd region of an encoded picture (a trained vision expert, which knows the camera's bit
depth); None when nothing is odd."""


def outliner(artifact: Path) -> Outliner:
    """What the expert of an artifact outlines."""
    from serving.experts.artifact import load_expert

    expert = load_expert(artifact)

    def outline(picture: bytes) -> Mask | None:
        region = expert.score([decode_image(picture, expert.bit_depth)])[0].region
        return region.mask if region else None

    return outline


def teach_product(
    root: Path,
    product_id: str,
    lessons: Sequence[Lesson],
    *,
    normals: Sequence[bytes] = (),
    normal_parts: Sequence[str] = (),
    outline: Outliner | None = None,
    expert: ComposedExpert | None = None,
    known_normals: Sequence[bytes] = (),
    onto: Path | None = None,
) -> Path:
    """Add lessons to a bundle and save the new one under ``root``; which is in force stays so.

    Args:
        normals: encoded normal pictures; replace what the bundle knew of normal when given.
        normal_parts: the part of each, empty where unknown; pictures of one part are held out
            together. What is unknown here and known to the expert's training is taken from there.
        outline: outlines what nobody marked.
        expert: trained on the normals; those that it would send on are kept as hard normals, and
            its answers and the classifier's are calibrated together.
        known_normals: what the bundle's normals were chosen from, where ``normals`` is not given
            and the expert was trained on it; else the bundle's.
        onto: folder of the bundle that the lessons are added to; without it they begin a new one.

    Returns:
        The folder of the new bundle; its name is the digest.

    Raises:
        ExemplarError: a picture that cannot be decoded or shows too little, or a class name that
            cannot be used.
    """
    lessons = [replace(each, class_name=normal_form(each.class_name)) for each in lessons]
    for class_name in dict.fromkeys(lesson.class_name for lesson in lessons):
        check_class(class_name)
    bundle = load_bundle(onto) if onto is not None else ExemplarBundle(product_id, DEFAULT_BACKBONE)
    if normals:
        bundle = replace(bundle, normals=choose_normals(normals, normal_parts))
    bundle = teach(bundle, [_exemplar(lesson, outline) for lesson in lessons])
    if expert is not None:
        bundle = _paired(bundle, expert, [*normals] or [*known_normals], normal_parts)
    return bundle.save(root)


def _paired(
    bundle: ExemplarBundle, expert: ComposedExpert, shown: list[bytes], told: Sequence[str]
) -> ExemplarBundle:
    """Calibrated with the expert; normals and hard normals of one part call it the same."""
    if not shown:
        return pair(bundle, expert)
    rows = training_rows(expert, shown)
    parts = known_parts(expert, rows, told)
    chosen = [(shown[i], parts[i]) for i in _chosen(len(shown))]
    if len(chosen) == len(bundle.normals):
        named = (
            replace(normal, part=part) if _is_of(normal, image) else normal
            for normal, (image, part) in zip(bundle.normals, chosen, strict=True)
        )
        bundle = replace(bundle, normals=tuple(named))
    return pair(bundle, expert, shown, rows=rows, parts=parts)


def _is_of(normal: Normal, image: bytes) -> bool:
    """Whether a bundle keeps this photograph so; a large one was made smaller."""
    return len(image) > _KEPT_BYTES or normal.image == image


def choose_normals(images: Sequence[bytes], parts: Sequence[str] = ()) -> tuple[Normal, ...]:
    """At most ``NORMAL_LIMIT`` normal pictures, evenly chosen; large ones are made smaller."""
    if parts and len(parts) != len(images):
        raise ExemplarError(f"{len(images)} normal pictures but {len(parts)} parts")
    return tuple(
        Normal(_bounded(images[i], f"normal picture {i + 1}"), parts[i] if parts else "")
        for i in _chosen(len(images))
    )


def _chosen(count: int) -> list[int]:
    """Which of so many normal pictures a bundle keeps."""
    kept = min(NORMAL_LIMIT, count)
    return [int(i) for i in np.linspace(0, count - 1, kept).round()]


def _exemplar(lesson: Lesson, outline: Outliner | None) -> Exemplar:
    image = _decode(lesson.image, lesson.name or "picture")
    if fault := fault_of_size(*image.shape[:2]):
        raise ExemplarError(f"{lesson.name or 'picture'}: {fault}")
    mask, drawn = lesson.mask, lesson.drawn
    if mask is None:
        mask, drawn = None if outline is None else _outlined(lesson, outline), False
    if mask is None or not mask.any():
        mask, drawn = whole(image), False
    return Exemplar(lesson.class_name, lesson.image, mask, lesson.part or lesson.name, drawn)


def _outlined(lesson: Lesson, outline: Outliner) -> Mask | None:
    try:
        return outline(lesson.image)
    except UndecodableImage as error:
        raise ExemplarError(f"{lesson.name or 'picture'}: {error}") from error


def _bounded(image: bytes, name: str) -> bytes:
    """The picture as captured, or at most ``_KEPT_SIDE`` pixels long where it is large."""
    decoded = _decode(image, name)
    if len(image) <= _KEPT_BYTES:
        return image
    factor = min(1.0, _KEPT_SIDE / max(decoded.shape[:2]))
    size = (max(1, round(decoded.shape[1] * factor)), max(1, round(decoded.shape[0] * factor)))
    smaller = cv2.resize(decoded, size, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    ok, encoded = cv2.imencode(".jpg", smaller[:, :, ::-1], quality)
    if not ok:
        raise ExemplarError(f"{name}: cannot be encoded as JPEG")
    return encoded.tobytes()


def _decode(image: bytes, name: str) -> Image:
    try:
        return decode_image(image)
    except UndecodableImage as error:
        raise ExemplarError(f"{name}: {error}") from error
