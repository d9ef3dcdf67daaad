"""The normals of a training: which count, whose part each shows, what the artifact says of them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np

from serving.experts.grouping import GuessedGroups, guess_groups
from serving.experts.options import Progress, TrainOptions
from serving.experts.preprocessing import Preprocessing
from serving.experts.reading import read_prepared
from serving.experts.types import Floats, Image

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow", "openvino", "timm")
_THUMB = 24
_CLOSE = 0.35
"""A pair is a near duplicate when its distance is below this share of the median nearest one."""
_WARN_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Normals:
    """Photographs of a product's normal parts as the network takes them."""

    product: str
    preprocessing: Preprocessing
    pixels: Image
    """uint8 (N, H, W, 3), prepared; with tiles, those of one photograph in a row."""
    names: list[str]
    """The group of each row: the part or capture that it shows."""
    grouped: bool
    """Whether groups were given."""
    told: int = 0
    """Photographs whose group was given; the others are groups of their own."""
    files: Sequence[str] = ()
    """Names of the photographs, without the folder that all have in common."""
    notes: Sequence[str] = ()
    """What the decoder decided about photographs, with how many of them."""
    guessed: GuessedGroups | None = None
    """What the file names tell of groups, where none were given."""

    def described(self) -> dict[str, object]:
        """Counts and a hash of the prepared pixels, in order."""
        digest = hashlib.sha256()
        for image in self.pixels:
            digest.update(hashlib.sha256(image.tobytes()).digest())
        return {
            "images": len(self.pixels),
            "groups": len(set(self.names)),
            "grouped": self.grouped,
            "grouped_images": self.told,
            "grouped_by": self._grouped_by,
            "sha256": digest.hexdigest(),
        }

    @property
    def _grouped_by(self) -> str:
        if self.grouped:
            return "given"
        return "file names" if self.guessed and self.guessed.usable else "nothing"

    def warnings(self) -> list[str]:
        """What to say where photographs seem to share parts and nobody said which."""
        said = list(self.notes)
        if self.grouped and self.told < len(self.files):
            said.append(
                f"the parts of {self.told} of {len(self.files)} images were given; each of the "
                "others is taken for a part of its own"
            )
        if self.guessed:
            said.append(self.guessed.told())
        share = near_duplicates(self.pixels)
        if self._grouped_by != "nothing" or share < _WARN_SHARE:
            return said
        return [
            *said,
            f"{share:.0%} of the images have a near duplicate: photographs of one part, if they "
            "are, must be held out together or the threshold is too low; say which by a CSV "
            "(option groups)",
        ]


def read_normals(
    product: str,
    images: Sequence[Path],
    groups: Mapping[Path, str],
    options: TrainOptions,
    report: Progress,
) -> Normals:
    """Read at most ``options.most_images`` photographs, whole groups at random, and prepare them.

    Where no group is given, file names may tell them, see ``grouping``. Of copies the first is
    kept: held out one by one they would vouch for each other, and the threshold would be too low.

    Raises:
        UndecodableImage: names the files that cannot be read, and those that are too small.
        TrainingError: the same where all can be read.
    """
    names = [groups.get(p, name) for p, name in zip(images, _relative(images), strict=True)]
    if len(images) > options.most_images:
        order = np.random.default_rng(options.seed).permutation(np.array(sorted(set(names))))
        rank = {name: i for i, name in enumerate(order)}
        rows = sorted(range(len(images)), key=lambda i: rank[names[i]])[: options.most_images]
        images, names = [images[i] for i in sorted(rows)], [names[i] for i in sorted(rows)]
    told = sum(image in groups for image in images)
    preprocessing, pixels, notes = read_prepared(images, options, report)
    tiles, files = preprocessing.tiles, _relative(images)
    kept = _without_copies(pixels, tiles)
    if len(kept) < len(files):
        copies = len(files) - len(kept)
        said = "images are copies of others, pixel for pixel: left out"
        notes.append(f"{copies} of {len(files)} {said}")
        rows = [tiles * i + k for i in kept for k in range(tiles)]
        pixels, told = pixels[rows], sum(images[i] in groups for i in kept)
        files, names = [files[i] for i in kept], [names[i] for i in kept]
    guessed = None if told else guess_groups(files, pixels[::tiles])
    if guessed and guessed.usable:
        names = list(guessed.names)
    names = [name for name in names for _ in range(tiles)]
    return Normals(product, preprocessing, pixels, names, told > 0, told, files, notes, guessed)


def describe_libraries() -> dict[str, str]:
    """Versions of the libraries that take part."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def near_duplicates(pixels: Image) -> float:
    """Share of images with a near duplicate: far closer to another than images usually are.

    Thumbnails, each standardised, so that another exposure of the same scene stays close.
    """
    thumbs = np.stack(
        [cv2.resize(i, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).mean(axis=2) for i in pixels]
    ).reshape(len(pixels), -1)
    thumbs = thumbs - thumbs.mean(axis=0)
    thumbs = thumbs - thumbs.mean(axis=1, keepdims=True)
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True) + 1e-6
    nearest: Floats = np.empty(len(thumbs), np.float32)
    for start in range(0, len(thumbs), 512):
        alike = thumbs[start : start + 512] @ thumbs.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
        nearest[start : start + 512] = np.sqrt(np.clip(2 - 2 * alike.max(axis=1), 0, None))
    usual = float(np.quantile(nearest, 0.9))
    return float(np.mean(nearest < _CLOSE * usual))


def _without_copies(pixels: Image, tiles: int) -> list[int]:
    """The photographs that differ from each one before them."""
    seen: dict[bytes, int] = {}
    for i in range(len(pixels) // tiles):
        own = np.ascontiguousarray(pixels[tiles * i : tiles * (i + 1)])
        seen.setdefault(hashlib.sha256(own.tobytes()).digest(), i)
    return list(seen.values())


def _relative(paths: Sequence[Path]) -> list[str]:
    """Names without the folder that all paths have in common: no manifest names a machine's."""
    root = os.path.commonpath([p.absolute().parent for p in paths])
    return [p.absolute().relative_to(root).as_posix() for p in paths]
