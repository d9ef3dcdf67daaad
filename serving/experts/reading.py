"""Photographs read and prepared alike for a training; all that cannot be used are told at once."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from serving.experts.errors import TrainingError, UndecodableImage
from serving.experts.images import (
    LEAST_SIDE_PX,
    DecodedImage,
    DeeperImage,
    fault_of_size,
    read_noted,
)
from serving.experts.options import Progress, TrainOptions
from serving.experts.preprocessing import Preprocessing, choose_preprocessing, tile_preprocessing
from serving.experts.types import Image

_MOST_NAMED = 5


@dataclass
class _Prepared:
    """The photographs as far as they are read, all prepared alike."""

    preprocessing: Preprocessing
    rows: list[Image] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Width and height of the photographs, pixels."""
    useless: list[UndecodableImage | TrainingError] = field(default_factory=list)

    def add(self, image: DecodedImage) -> None:
        height, width = image.pixels.shape[:2]
        self.sizes[width, height] += 1
        if image.guessed:
            self.preprocessing = replace(self.preprocessing, bits=image.bits)
        else:
            self.notes.update(image.notes)
        self.rows.append(self.preprocessing.cut(image.pixels))


def read_prepared(
    paths: Sequence[Path], options: TrainOptions, report: Progress
) -> tuple[Preprocessing, Image, list[str]]:
    """Every photograph prepared, tiles in a row; the originals are not kept.

    Returns:
        How they were prepared, uint8 (N, H, W, 3), and what was decided about them, in words.

    Raises:
        UndecodableImage: names the files that cannot be read, and those that are too small.
        TrainingError: the same where all can be read.
    """
    choose = tile_preprocessing if options.tiles else choose_preprocessing
    shape = _first_shape(paths, options.bit_depth)
    preprocessing = replace(choose(shape, options.size), bits=options.bit_depth)
    while isinstance(found := _prepare(paths, preprocessing, options, report), Preprocessing):
        preprocessing = found
    if found.useless:
        raise _of_all(found.useless, len(paths))
    said = [f"{count} of {len(paths)} images: {note}" for note, count in found.notes.items()]
    if len(found.sizes) > 1:
        said.append(_told_sizes(found.sizes))
    bits = found.preprocessing.bits or 16
    if options.bit_depth is None and bits < 16:
        said.append(
            f"no image of 16 bits uses more than {bits}: white is taken as {(1 << bits) - 1}, in "
            "use too; where the camera has another depth, say so with --set bit-depth=N"
        )
    return found.preprocessing, np.concatenate(found.rows), said


def _prepare(
    paths: Sequence[Path], preprocessing: Preprocessing, options: TrainOptions, report: Progress
) -> _Prepared | Preprocessing:
    """All photographs prepared like this; or, once one is deeper or of another shape, how instead.

    One that cannot be used is no end: who mends the folder is told of all of them.
    """
    found = _Prepared(preprocessing)
    for count, path in enumerate(paths, 1):
        try:
            image = _usable(path, found.preprocessing.bits)
        except DeeperImage as error:
            if options.bit_depth is not None:
                raise
            return replace(preprocessing, bits=error.bits)
        except (UndecodableImage, TrainingError) as error:
            found.useless.append(error)
            continue
        if preprocessing.mode == "native" and image.pixels.shape[:2] != preprocessing.shape:
            bits = found.preprocessing.bits
            return Preprocessing("squash", options.size, options.size, bits=bits)
        found.add(image)
        report("read", count, len(paths))
    return found


def _usable(path: Path, bits: int | None) -> DecodedImage:
    image = read_noted(path, bits)
    if fault := fault_of_size(*image.pixels.shape[:2]):
        raise TrainingError(f"{path}: {fault}")
    return image


def _first_shape(paths: Sequence[Path], bits: int | None) -> tuple[int, int]:
    """Height and width of the first photograph that can be used, pixels; any where none can."""
    for path in paths:
        with suppress(UndecodableImage, TrainingError):
            height, width = _usable(path, bits).pixels.shape[:2]
            return height, width
    return LEAST_SIDE_PX, LEAST_SIDE_PX


def _of_all(
    found: Sequence[UndecodableImage | TrainingError], images: int
) -> UndecodableImage | TrainingError:
    """One error for all photographs that cannot be used."""
    kind = next((type(e) for e in found if isinstance(e, UndecodableImage)), TrainingError)
    if len(found) == 1:
        return kind(
            f"{found[0]}; take this one of {images} images out, or copy it from the camera anew"
        )
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    words = "; ".join(str(error) for error in found[:_MOST_NAMED])
    return kind(
        f"{len(found)} of {images} images cannot be used; take them out, or copy them anew: "
        f"{words}{more}"
    )


def _told_sizes(sizes: Counter[tuple[int, int]]) -> str:
    (usual, count), *_ = sizes.most_common(1)
    others = [f"{width}x{height}" for width, height in sorted(sizes) if (width, height) != usual]
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return (
        f"the images have {len(sizes)} sizes, {usual[0]}x{usual[1]} ({count} of {sizes.total()}) "
        f"and {', '.join(others[:_MOST_NAMED])}{more}: all are resized to one, which distorts them "
        "where the scale differs; train on pictures as one camera takes them"
    )
