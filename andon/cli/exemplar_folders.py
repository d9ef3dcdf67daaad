"""Labelled photographs on disk, as ``andon train`` is taught them: a folder for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import typer

from andon.cli.experts import ExpertCommandError, list_inputs, read_groups
from serving.experts.images import read_image, read_marked
from serving.experts.types import Image
from streams.images.layout import MASK_NAMES, MaskFolder, child, is_normal, shortened, subfolders
from streams.names import fault_of, normal_form
from streams.regions import Mask

if TYPE_CHECKING:
    from serving.experts.teaching import LabelledPicture

CLASS_FILE: Final = "class.txt"
"""In the folder of a class: its name, where the folder cannot be called so."""


@dataclass(frozen=True)
class LabelledFile:
    """A photograph of a defect in a folder that is called like its class."""

    path: Path
    class_name: str
    mask: Path | None
    """Its mask, or the folder of its masks."""
    part: str


def list_exemplars(folder: Path, masks: Path | None, groups: Path | None) -> list[LabelledFile]:
    """Every photograph in ``folder/<class>/``, with its mask where there is one.

    The class is called like its folder, or as the folder's ``class.txt`` says: ``AB/12`` can name
    no folder.

    Args:
        folder: one folder of photographs for each class.
        masks: ``<class>/<stem>.png`` or ``<class>/<stem>_mask.png``, marked above 127; None and
            photographs without one are marked where the expert sees them.
        groups: CSV of path and part; else the ``parts.csv`` at or above ``folder``.

    Raises:
        ExpertCommandError: no folder with photographs, or no class's name.
    """
    inside = subfolders(folder)
    kinds = [d for d in inside if not is_normal(d) and d.name.lower() not in MASK_NAMES]
    if len(kinds) < len(inside):
        others = shortened([d for d in inside if d not in kinds])
        typer.echo(f"{folder}: taken for no class of defects: {others}", err=True)
    if not kinds:
        raise ExpertCommandError(f"{folder}: expected one folder of photographs for each class")
    parts, found = read_groups(folder, groups), []
    for kind in kinds:
        class_name = _class_of(kind)
        drawn = None if masks is None else MaskFolder(child(masks, kind.name))
        for path in list_inputs([kind]):
            place = drawn.of(path.stem) if drawn is not None else None
            part = parts.get(path, f"{kind.name}/{path.name}")
            found.append(LabelledFile(path, class_name, place, part))
    unmarked = sum(each.mask is None for each in found)
    if masks is not None and unmarked:
        words = (
            f"{masks}: {unmarked} of {len(found)} photographs have no mask; the expert marks them"
        )
        typer.echo(words, err=True)
    return found


def read_exemplars(
    files: Sequence[LabelledFile], bits: int | None = None
) -> "list[LabelledPicture]":
    """The pixels of labelled photographs.

    Args:
        files: see ``list_exemplars``.
        bits: bits of the camera's pixels in 16-bit files, as the expert was trained with.

    Raises:
        ExpertCommandError: a mask of another shape.
        UndecodableImage: a photograph that cannot be read, or one with more ``bits``.
    """
    from serving.experts.teaching import LabelledPicture

    found = []
    for each in files:
        image = read_image(each.path, bits)
        mask = read_mask(each, image)
        found.append(LabelledPicture(image, each.class_name, mask, each.part))
    empty = sum(picture.mask is not None and not picture.mask.any() for picture in found)
    if empty:
        typer.echo(f"{empty} masks of exemplars mark nothing; the expert marks them", err=True)
    return found


def read_mask(file: LabelledFile, image: Image) -> Mask | None:
    """What its mask marks, of the photograph's size; None without one.

    Raises:
        ExpertCommandError: a mask of another shape.
    """
    if file.mask is None:
        return None
    mask = _fitting(file.mask, file.path, image)
    height, width = image.shape[:2]
    grown = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(grown > 0, np.bool_)


def mask_in(folder: Path, file: Path, image: Image) -> Mask:
    """What the mask of a photograph marks, at any resolution of the photograph's shape.

    Raises:
        ExpertCommandError: there is none, or one of another shape.
    """
    place = MaskFolder(folder).of(file.stem)
    if place is None:
        names = f"{file.stem}_mask.png or {file.stem}.png"
        raise ExpertCommandError(f"{folder}: no mask {names} for {file}")
    return _fitting(place, file, image)


def _fitting(place: Path, file: Path, image: Image) -> Mask:
    mask = read_marked(place)
    (high, wide), (height, width) = mask.shape, image.shape[:2]
    if abs(high * width - wide * height) > max(height, width):
        raise ExpertCommandError(
            f"{place}: {wide}x{high} pixels, but {file} has {width}x{height}: a mask has the shape "
            "of its photograph, as EXIF turns it"
        )
    return mask


def _class_of(folder: Path) -> str:
    stated = folder / CLASS_FILE
    try:
        text = stated.read_text("utf-8-sig") if stated.is_file() else folder.name
    except (OSError, UnicodeDecodeError) as error:
        raise ExpertCommandError(f"{stated}: the class's name as UTF-8 text: {error}") from None
    name = normal_form(text.strip())
    if fault := fault_of(name):
        raise ExpertCommandError(f"{stated if stated.is_file() else folder}: {name!r} {fault}")
    return name
