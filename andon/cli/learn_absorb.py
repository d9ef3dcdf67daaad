"""The part of ``andon learn`` that absorbs a new kind of good part."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from andon.cli.experts import list_normals, read_groups, stage_bars
from andon.cli.printing import print_found
from andon.learning.changing import open_stores
from andon.learning.lessons import ReviewedPicture
from andon.settings import load_settings
from serving.experts.images import decode_image, read_image

if TYPE_CHECKING:
    from andon.learning.absorbing import AbsorbedVersion, Goods
    from serving.experts.absorbing.absorb import GoodPicture


REVIEWS = "reviews"
"""What stands for the parts that people reviewed as normal."""


def folder_goods(folder: Path, bits: int | None) -> "list[GoodPicture]":
    """Good parts of a folder; a ``parts.csv`` beside the photographs tells which show one part.

    Args:
        folder: of photographs.
        bits: the expert's ``bit_depth``: they are as bright as on the line.

    Raises:
        ExpertCommandError: no such folder, or no photographs in it.
    """
    from serving.experts.absorbing.absorb import GoodPicture

    photographs = list_normals(folder)
    parts = read_groups(folder, None, photographs, strict=False)
    return [
        GoodPicture(read_image(path, bits), parts.get(path, ""), path.name) for path in photographs
    ]


def reviewed_goods(pictures: Sequence[ReviewedPicture], bits: int | None) -> "list[GoodPicture]":
    """The parts that people reviewed as normal; ``bits`` as in ``folder_goods``."""
    from serving.experts.absorbing.absorb import GoodPicture

    return [
        GoodPicture(decode_image(picture.image, bits), picture.part, picture.frame)
        for picture in pictures
        if not picture.is_defect
    ]


def absorb_pictures(product: str, goods: "Goods", as_json: bool) -> None:
    """Let the expert in force absorb the good parts, and say what came of it.

    Raises:
        AbsorbRefused: the new kind cannot be told from defects; the message says why.
    """
    from andon.learning.absorbing import absorb_goods

    with stage_bars() as bars:
        made = absorb_goods(open_stores(load_settings()), product, goods, bars)
    print_found(made.as_json(), _shown(made), as_json)


def _shown(made: "AbsorbedVersion") -> Iterator[RenderableType]:
    if not made.how:
        yield f"{escape(made.product)} accepts these parts already: there is nothing to absorb"
        return
    words = {
        "relit": "a change of light: the stored normals were relit",
        "added": "a new look at one place: the stored normals take it over there",
    }
    for how in made.how:
        yield words[how]
    for name, value in made.said.items():
        if value is not None and name not in ("how", "goods", "from"):
            yield f"{name.replace('_', ' ')}: {escape(str(value))}"
    yield (
        f"candidate {made.digest}; in force with: "
        f"andon models use {escape(shlex.quote(made.product))} {made.digest[:12]}"
    )
