"""Labelled photographs on disk, as ``andon train`` is taught them: a folder for each class."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from andon.cli.experts import ExpertCommandError, list_inputs, read_groups
from serving.experts.images import read_image, read_marked
from streams.images.layout import MASK_NAMES, MaskFolder, child, is_normal, shortened, subfolders
from streams.names import fault_of, normal_form

if TYPE_CHECKING:
    from serving.experts.teaching import LabelledPicture

CLASS_FILE: Final = "class.txt"
"""In the folder of a class: its name, where the folder cannot be called so."""


def read_exemplars(
    folder: Path, masks: Path | None, groups: Path | None
) -> "list[LabelledPicture]":
    """Every photograph in ``folder/<class>/``, with its mask where there is one.

    The class is called like its folder, or as the folder's ``class.txt`` says: ``AB/12`` can name
    no folder.

    Args:
        folder: one folder of photographs for each class.
        masks: ``<class>/<stem>.png`` or ``<class>/<stem>_mask.png``, marked above 127; None and
            photographs without one are marked where the expert sees them.
        groups: CSV of path and part; else the ``parts.csv`` at or above ``folder``.

    Raises:
        ExpertCommandError: no folder with photographs, a mask of another size, or no class's name.
    """
    from serving.experts.teaching import LabelledPicture

    inside = subfolders(folder)
    kinds = [d for d in inside if not is_normal(d) and d.name.lower() not in MASK_NAMES]
    if len(kinds) < len(inside):
        others = shortened([d for d in inside if d not in kinds])
        typer.echo(f"{folder}: taken for no class of defects: {others}", err=True)
    if not kinds:
        raise ExpertCommandError(f"{folder}: expected one folder of photographs for each class")
    parts, found, unmarked = read_groups(folder, groups), [], 0
    for kind in kinds:
        class_name = _class_of(kind)
        drawn = None if masks is None else MaskFolder(child(masks, kind.name))
        for path in list_inputs([kind]):
            image = read_image(path)
            place = drawn.of(path.stem) if drawn is not None else None
            mask = None if place is None else read_marked(place)
            unmarked += drawn is not None and mask is None
            if mask is not None and mask.shape != image.shape[:2]:
                raise ExpertCommandError(f"{path}: its mask is of another size")
            part = parts.get(path, f"{kind.name}/{path.name}")
            found.append(LabelledPicture(image, class_name, mask, part))
    if unmarked:
        words = (
            f"{masks}: {unmarked} of {len(found)} photographs have no mask; the expert marks them"
        )
        typer.echo(words, err=True)
    return found


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
